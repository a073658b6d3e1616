"""What the filesystem can do, tried out in a scratch directory of ``.tierctl``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tierctl import mounts
from tierctl.doctor.finding import Finding, fine, note, problem
from tierctl.errors import cause_of
from tierctl.filesystem import (
    ExchangeUnsupported,
    FileSystem,
    LockTimeout,
    LockUnavailable,
    exists,
)
from tierctl.layout import Layout
from tierctl.text import shown

SUBJECT = "guarantee"
_ONE_STEP = "the links are swapped in one step: no reader finds one missing, or both on one color"
_TWO_STEPS = "the links are replaced one right after the other: no reader finds one missing"
_AN_INSTANT = (
    "For an instant, and on other NFS clients as long as they cache, a reader may see one moved "
    "and the other not. Where colors are deployments that is harmless."
)


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what this target guarantees on this host."""
    yield from _mount(layout)
    if not exists(fs, layout.control):
        foretold = _ONE_STEP if fs.can_exchange(layout.infrastructure) else _TWO_STEPS
        yield note(SUBJECT, f"not tried out, by the type of the filesystem {foretold}")
    elif not fs.is_writable(layout.control):
        yield note(SUBJECT, f"not tried out: you may not write to {shown(layout.control)}")
    else:
        try:
            with scratch(fs, layout):
                yield _exchange(fs, layout)
                yield _lock(fs, layout)
        except OSError as error:
            yield problem(SUBJECT, f"trying it out failed: {cause_of(error)}")


@contextmanager
def scratch(fs: FileSystem, layout: Layout) -> Iterator[None]:
    """Have an empty scratch directory, and none afterwards."""
    clear_scratch(fs, layout)
    fs.make_directory(layout.scratch, 0o700)
    try:
        yield
    finally:
        clear_scratch(fs, layout)


def clear_scratch(fs: FileSystem, layout: Layout) -> None:
    """Remove the scratch directory, if there is one, and the files in it."""
    if exists(fs, layout.scratch):
        for name in fs.names(layout.scratch):
            fs.remove(f"{layout.scratch}/{name}")
        fs.remove(layout.scratch)


def _mount(layout: Layout) -> Iterator[Finding]:
    mount = mounts.find(layout.infrastructure)
    if mount is None:
        return
    yield fine(SUBJECT, f"filesystem: {shown(mount.type)}, mounted on {shown(mount.point)}")
    if mount.is_read_only:
        yield note(SUBJECT, "it is mounted read-only here", "Tiers can be loaded, nothing changed.")
    option = mount.locks_on_this_host_only
    if option is not None:
        yield problem(
            SUBJECT,
            f"it is mounted with {shown(option)}: locks hold on this host only",
            "Changes from two hosts at once could mix.",
            "Mount it without that option, or make changes from one host only.",
        )


def _exchange(fs: FileSystem, layout: Layout) -> Finding:
    one, two = (f"{layout.scratch}/{name}" for name in ("one", "two"))
    fs.make_link(one, "1")
    fs.make_link(two, "2")
    try:
        fs.exchange(one, two)
        swapped = (fs.read_link(one), fs.read_link(two)) == ("2", "1")
    except ExchangeUnsupported:
        swapped = False
    fs.rename(one, two)
    fs.sync(layout.scratch)
    return fine(SUBJECT, _ONE_STEP) if swapped else note(SUBJECT, _TWO_STEPS, _AN_INSTANT)


def _lock(fs: FileSystem, layout: Layout) -> Finding:
    path = f"{layout.scratch}/lock"
    try:
        with fs.lock(path, mode=0o600, timeout=0), fs.lock(path, mode=0o600, timeout=0):
            return problem(SUBJECT, "locks lock nobody out here", "Two changes at once could mix.")
    except LockTimeout:
        return fine(SUBJECT, "a lock that is held locks out others")
    except LockUnavailable as error:
        return problem(
            SUBJECT,
            f"there are no locks here: {error.strerror}",
            "Changes are refused: two at once could mix.",
            "Mount it with locks (Lustre: -o flock; NFS: a running lock service).",
        )
