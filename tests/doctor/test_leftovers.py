"""What doctor says of deployments and packages that were removed and are not gone yet."""

import os
import subprocess

from damage import found, problems
from tierctl.doctor import Severity, diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import user_name


def test_what_is_still_in_use_is_a_note_that_names_who_uses_it(layout: Layout) -> None:
    path = f"{layout.deployments}/.4.going"
    os.makedirs(path)
    with subprocess.Popen(["sleep", "60"], cwd=path) as running:
        try:
            finding = found(layout, path)
        finally:
            running.kill()
    user = f"process {running.pid} of {user_name(os.getuid())}"
    assert f"{path} is left of what was removed: {user} uses it" == finding.text
    assert (Severity.NOTE, "prune") == (finding.severity, finding.command)
    assert [] == problems(layout)


def test_of_a_cached_package_that_nobody_is_seen_to_use_no_more_is_said(layout: Layout) -> None:
    path = f"{layout.cache}/.a-1-0.going"
    os.makedirs(path)
    assert f"{path} is left of what was removed" == found(layout, path).text


def test_what_only_looks_so_is_not_told(layout: Layout) -> None:
    os.makedirs(f"{layout.deployments}/.thesis.going")
    os.makedirs(f"{layout.cache}/.a-1-0")
    findings = diagnose(Target(OsFileSystem(), layout))
    assert not any("left of what was removed" in finding.text for finding in findings)
