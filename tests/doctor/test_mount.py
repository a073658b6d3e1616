"""What doctor says of the mount: what it means for readers, and what for changes."""

import os
from collections.abc import Callable

import pytest
from pytest_mock import MockerFixture

from damage import found
from tierctl.doctor import Finding, Severity, diagnose
from tierctl.fs.local import OsFileSystem
from tierctl.fs.mounts import Mount
from tierctl.target.paths import Layout
from tierctl.target.target import Target

SAFE = "A change made on this host asks the server once it has the lock."
Mounted = Callable[..., Layout]


@pytest.fixture
def mounted(layout: Layout, mocker: MockerFixture) -> Mounted:
    """A target that is mounted with some options, by type."""

    def mount(*options: str, of: str = "nfs4") -> Layout:
        mocker.patch("tierctl.fs.mounts.find", return_value=Mount(of, "/lab", ("rw", *options)))
        return layout

    return mount


def told(layout: Layout) -> list[Finding]:
    """Return what is said of the mount, its type and the probe apart."""
    findings = diagnose(Target(OsFileSystem(), layout))
    probed = "the links are", "a lock that", "by the filesystem's type", "filesystem: "
    return [
        finding
        for finding in findings
        if finding.subject == "guarantee" and not finding.text.startswith(probed)
    ]


class TestReaders:
    @pytest.mark.parametrize(
        ("options", "seconds", "option"),
        [
            ((), 60, "acdirmax=60, the default"),
            (("acdirmin=5", "acdirmax=10"), 10, "acdirmax=10"),
            (("acregmin=600", "acregmax=600", "acdirmin=600", "acdirmax=600"), 600, "acdirmin=600"),
        ],
    )
    def test_they_are_told_how_old_what_they_see_can_be(
        self, mounted: Mounted, options: tuple[str, ...], seconds: int, option: str
    ) -> None:
        (finding,) = told(mounted("vers=4.2", *options))
        text = f"readers on this host can see the version of before for up to {seconds} s after"
        assert finding.text.startswith(text)
        assert finding.text.endswith(f"a change on another host ({option})")
        assert (Severity.NOTE, True) == (finding.severity, SAFE in finding.meaning)
        assert "A new tier can be missing until then." in finding.meaning
        assert f"lower {option.partition('=')[0]}=" in finding.advice

    @pytest.mark.parametrize("option", ["softreval", "nolock", "local_lock=all", "ro"])
    def test_where_changes_are_not_safe_it_is_not_said_that_they_are(
        self, mounted: Mounted, option: str
    ) -> None:
        *_, finding = told(mounted(option))
        assert "readers on this host can see" in finding.text
        assert SAFE not in finding.meaning

    @pytest.mark.parametrize("option", ["noac", "lookupcache=none", "acdirmin=0"])
    def test_without_a_cache_they_see_a_change_at_once(self, mounted: Mounted, option: str) -> None:
        (finding,) = told(mounted(option, "acdirmax=0", of="nfs"))
        assert (Severity.OK, True) == (finding.severity, f"({option})" in finding.text)

    def test_where_only_names_that_exist_are_cached_a_new_tier_is_found(
        self, mounted: Mounted
    ) -> None:
        (finding,) = told(mounted("lookupcache=pos"))
        assert "A new tier is found at once." in finding.meaning

    @pytest.mark.parametrize("kind", ["ext4", "lustre", "fuse.bindfs"])
    def test_of_what_is_not_nfs_nothing_is_said(self, mounted: Mounted, kind: str) -> None:
        assert [] == told(mounted("flock", of=kind))


class TestSmb:
    def test_where_links_look_like_directories_nothing_else_is_said(self, mounted: Mounted) -> None:
        """To move such a directory away would take the link from everybody."""
        layout = mounted("soft", of="cifs")
        for name in ("production", "staging", "blue", "green"):
            os.unlink(layout.within(name))
            os.mkdir(layout.within(name))
        kind, smb = diagnose(Target(OsFileSystem(), layout))
        assert ("filesystem: cifs, mounted on /lab", Severity.PROBLEM) == (kind.text, smb.severity)
        assert "it is mounted with SMB (cifs), which has no symlinks" == smb.text

    def test_where_links_are_seen_all_is_said(self, mounted: Mounted) -> None:
        assert found(mounted(of="cifs"), "production -> ")


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "of", "severity", "text", "meaning"),
        [
            (
                ("nolock", "local_lock=all"),
                "nfs",
                Severity.PROBLEM,
                "it is mounted with nolock: locks hold on this host only",
                "Two hosts can change the target at once",
            ),
            (
                ("local_lock=posix",),
                "nfs",
                Severity.PROBLEM,
                "it is mounted with local_lock=posix: locks hold on this host only",
                "Two hosts can change the target at once",
            ),
            (
                (),
                "fuse.sshfs",
                Severity.PROBLEM,
                "it is mounted with sshfs: locks hold on this host only",
                "for up to 20 s",
            ),
            ((), "cifs", Severity.PROBLEM, "it is mounted with SMB (cifs), which has no", ""),
            (
                ("softreval",),
                "nfs4",
                Severity.PROBLEM,
                "it is mounted with softreval: what is cached counts",
                "A change can go by old links",
            ),
            (
                ("soft",),
                "nfs4",
                Severity.NOTE,
                "it is mounted with soft: where the server does not answer in time, calls fail",
                "the next command finishes it",
            ),
            (
                ("nocto",),
                "nfs4",
                Severity.NOTE,
                "it is mounted with nocto: a file can be opened in the version that is cached",
                SAFE,
            ),
        ],
    )
    def test_each_is_told_with_what_it_means(
        self,
        mounted: Mounted,
        options: tuple[str, ...],
        of: str,
        severity: Severity,
        text: str,
        meaning: str,
    ) -> None:
        finding = found(mounted(*options, of=of), text)
        assert (severity, True) == (finding.severity, meaning in finding.meaning)

    def test_the_worst_comes_first_and_a_word_twice_is_told_once(self, mounted: Mounted) -> None:
        layout = mounted("nocto", "softerr", "softreval", "nolock", "local_lock=all", of="nfs")
        words = [finding.text.split(": ")[0].split()[-1] for finding in told(layout)[:-1]]
        assert ["nolock", "softreval", "softerr", "nocto"] == words

    @pytest.mark.parametrize("option", ["local_lock=none", "local_lock=flock", "hard", "cto"])
    def test_what_harms_nobody_is_not_told(self, mounted: Mounted, option: str) -> None:
        assert 1 == len(told(mounted(option)))

    def test_the_version_of_nfs_is_told(self, mounted: Mounted) -> None:
        assert found(mounted("vers=4.2"), "filesystem: NFS 4.2, mounted on /lab")
