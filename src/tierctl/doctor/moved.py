"""Whether a target is still where its profiles say: it cannot be moved or copied."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from tierctl import tiers
from tierctl.doctor.finding import Finding, problem
from tierctl.filesystem import FileSystem
from tierctl.layout import PRODUCTION, STAGING, Layout
from tierctl.text import shown

SUBJECT = "links"
_MARK = "export IAC_TIER_DIR="
# The line is near the beginning; who wrote more than that wrote another profile.
_LONGEST_PROFILE_BYTES = 1 << 16


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield the finding that loading a tier leads somewhere else."""
    for name in tiers.names(fs, layout):
        if name in (PRODUCTION, STAGING):
            continue
        written = _written_directory(fs, f"{layout.within(name)}/etc/profile.sh")
        if written is not None and not _is_same(fs, written, layout.within(name)):
            yield problem(
                SUBJECT,
                f"the profile of {shown(name)} leads to {shown(written)}",
                "A target cannot be moved or copied: what is built in it holds its path.",
                "Move it back; or bootstrap a new target here and build its tiers again.",
            )


def _written_directory(fs: FileSystem, profile: str) -> str | None:
    """Return the directory that a profile carries; None if it is not one of tierctl's."""
    try:
        text = fs.read(profile, 0, _LONGEST_PROFILE_BYTES).decode("utf-8", "surrogateescape")
        line = next(line for line in text.splitlines() if line.startswith(_MARK))
        return shlex.split(line.removeprefix(_MARK))[0]
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def _is_same(fs: FileSystem, one: str, other: str) -> bool:
    try:
        return fs.entry(one, follow=True).is_same(fs.entry(other, follow=True))
    except OSError:
        return False
