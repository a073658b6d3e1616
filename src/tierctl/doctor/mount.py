"""What the mount of a target means for those who read it, and for those who change it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tierctl.doctor.finding import Finding, Severity, fine, note
from tierctl.doctor.scratch import SUBJECT
from tierctl.fs import mounts
from tierctl.fs.mounts import Mount
from tierctl.fs.protocol import Kind, exists
from tierctl.rotation.names import LINKS
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.text import shown

_SMB = ("cifs", "smb3")
_SSHFS = ("fuse.sshfs",)
_CHANGES_ARE_SAFE = "A change made on this host asks the server once it has the lock."
# With the first it may not, with the second there is no change.
_UNSAFE = ("softreval", "ro")
_REMOUNT = "Change that where it is mounted (/etc/fstab), then unmount it and mount it again"


class _Rule(NamedTuple):
    """What is said of a mount: ``about`` returns the word that the text is about, or None."""

    about: Callable[[Mount], str | None]
    severity: Severity
    text: str
    meaning: str = ""
    advice: str = ""


def _option(*options: str) -> Callable[[Mount], str | None]:
    """Return what finds the first of some options that an NFS mount has."""
    return lambda mount: next((o for o in options if mount.is_nfs and o in mount.options), None)


def _type(*types: str) -> Callable[[Mount], str | None]:
    """Return what finds the type of a mount, if it is one of these."""
    return lambda mount: mount.type if mount.type in types else None


# The worst first.
_RULES = (
    _Rule(
        lambda mount: mount.locks_on_this_host_only,
        Severity.PROBLEM,
        "it is mounted with {}: locks hold on this host only",
        "Two hosts can change the target at once, and their changes can mix.",
        f"{_REMOUNT}; or make changes from one host only.",
    ),
    _Rule(
        _type(*_SSHFS),
        Severity.PROBLEM,
        "it is mounted with sshfs: locks hold on this host only",
        "Two hosts can change the target at once, and their changes can mix. sshfs has a cache of "
        "its own: readers here can see the version of before for up to 20 s, if no option of "
        "sshfs says otherwise.",
        "Make changes on the host that sshfs connects to.",
    ),
    _Rule(
        _type(*_SMB),
        Severity.PROBLEM,
        "it is mounted with SMB ({}), which has no symlinks",
        "Tiers are shown as directories. Nothing can be changed from here.",
        "Make changes on the file server, or on a host that mounts it with NFS.",
    ),
    _Rule(
        _option("softreval"),
        Severity.PROBLEM,
        "it is mounted with {}: what is cached counts while the server does not answer",
        "Readers can see the version of before for as long. A change can go by old links if the "
        "server stops answering for a while just after it has given the lock.",
        f"{_REMOUNT}, with hard and without softreval and softerr (which sets softreval).",
    ),
    _Rule(
        lambda mount: "noexec" if mount.runs_nothing else None,
        Severity.PROBLEM,
        "it is mounted with {}: no command of a tier can be started on this host",
        "Tiers can be loaded here, but not used, and environments cannot be built.",
        f"{_REMOUNT}, without noexec.",
    ),
    _Rule(
        lambda mount: "flock" if mount.may_lack_locks else None,
        Severity.NOTE,
        "it is Lustre, mounted without {}: it may have no locks",
        "Without locks changes are refused.",
        "Mount it with: -o flock",
    ),
    _Rule(
        lambda mount: "ro" if mount.is_read_only else None,
        Severity.NOTE,
        "it is mounted read-only here",
        "Tiers can be loaded, but nothing can be changed from here.",
    ),
    _Rule(
        _option("soft", "softerr"),
        Severity.NOTE,
        "it is mounted with {}: where the server does not answer in time, calls fail",
        "Readers get errors instead of waiting. A change can fail in the middle; the next command "
        "finishes it. Other hosts can find its lock still held until the next change on this one.",
        f"{_REMOUNT}, with hard.",
    ),
    _Rule(
        _option("nocto"),
        Severity.NOTE,
        "it is mounted with {}: a file can be opened in the version that is cached",
        "Readers get the right ones: a deployment's files never change. What iac_status says can "
        f"be as old as what is cached. {_CHANGES_ARE_SAFE}",
    ),
)


def examine(layout: Layout) -> Iterator[Finding]:
    """Yield what there is to say of the mount that holds a target."""
    mount = mounts.find(layout.infrastructure)
    if mount is None:
        return
    yield fine(SUBJECT, f"filesystem: {_described(mount)}, mounted on {shown(mount.point)}")
    for rule in _RULES:
        word = rule.about(mount)
        if word is not None:
            text = rule.text.format(shown(word))
            yield Finding(rule.severity, SUBJECT, text, rule.meaning, rule.advice)
    if mount.is_nfs:
        yield _age(mount)


def hides_links(target: Target) -> bool:
    """Say whether SMB shows directories in the place of symlinks that are there on the server."""
    mount = mounts.find(target.infrastructure)
    paths = (target.within(name) for name in LINKS)
    return (
        mount is not None
        and mount.type in _SMB
        and not any(
            exists(target.fs, path) and target.fs.entry(path).kind is Kind.LINK for path in paths
        )
    )


def _described(mount: Mount) -> str:
    version = mount.value("vers")
    return f"NFS {shown(version)}" if mount.is_nfs and version else shown(mount.type)


def _age(mount: Mount) -> Finding:
    """Return for how long readers can see what was there before, by what NFS caches."""
    limit = mount.name_cache
    if limit.seconds == 0:
        text = f"readers on this host see a change at once: NFS caches no names ({limit.option})"
        slower = "Each look at a name asks the server, so loading a tier takes longer."
        return Finding(Severity.OK, SUBJECT, text, slower)
    finds_new = "lookupcache=pos" in mount.options
    new = "is found at once" if finds_new else "can be missing until then"
    is_safe = mount.locks_on_this_host_only is None and not set(_UNSAFE) & set(mount.options)
    return note(
        SUBJECT,
        "readers on this host can see the version of before for up to "
        f"{limit.seconds} s after a change on another host ({limit.option})",
        f"NFS caches names. What readers see is whole, old or new. A new tier {new}."
        + (f" {_CHANGES_ARE_SAFE}" if is_safe else ""),
        f"To shorten that, mount it with a lower {limit.option.partition('=')[0]}= "
        "(actimeo= sets it, too).",
    )
