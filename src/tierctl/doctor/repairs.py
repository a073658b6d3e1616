"""What ``doctor --fix`` does: remedies, under the target's lock, for what is still so."""

from __future__ import annotations

import grp
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tierctl import changes, config, control, history, trust
from tierctl.doctor import guarantee, leftovers, permissions, records
from tierctl.doctor.finding import Finding, Remedy
from tierctl.errors import TierctlError, cause_of
from tierctl.events import Author
from tierctl.filesystem import FileSystem, Kind
from tierctl.layout import Layout
from tierctl.locking import locked
from tierctl.text import shown


@dataclass(frozen=True)
class Repair:
    """What was done about a finding, or why it could not be."""

    text: str
    done: bool


def repair(
    fs: FileSystem,
    layout: Layout,
    author: Author,
    reporter: changes.Reporter,
    *,
    lock_timeout: float,
) -> list[Repair]:
    """Repair what is safe to repair; raises ``Locked``, ``NotWritable`` or ``LocksUnsupported``."""
    control.require_writable(fs, layout)
    control.ensure(fs, layout)
    with locked(fs, layout, author, "doctor", lock_timeout):
        # What was found before the lock was ours may have been another change at work.
        return [
            _attempt(fs, layout, finding, finding.remedy, reporter)
            for examine in _REPAIRABLE
            for finding in _still_so(fs, layout, examine)
            if finding.remedy is not None
        ]


_REPAIRABLE = (
    records.unfinished_change,
    records.torn_history,
    leftovers.removable,
    permissions.examine,
)


def _still_so(
    fs: FileSystem,
    layout: Layout,
    examine: Callable[[FileSystem, Layout], Iterator[Finding]],
) -> list[Finding]:
    try:
        return list(examine(fs, layout))
    except (TierctlError, OSError):
        return []  # a finding of its own, without a remedy


def _attempt(
    fs: FileSystem, layout: Layout, finding: Finding, remedy: Remedy, reporter: changes.Reporter
) -> Repair:
    try:
        return Repair(_apply(fs, layout, finding, remedy, reporter), done=True)
    except TierctlError as error:
        return Repair(f"could not {remedy.value}: {error.message}", done=False)
    except OSError as error:
        return Repair(f"could not {remedy.value}: {cause_of(error)}", done=False)


def _apply(
    fs: FileSystem, layout: Layout, finding: Finding, remedy: Remedy, reporter: changes.Reporter
) -> str:
    """Do it and return what was done."""
    path = finding.path
    match remedy:
        case Remedy.FINISH_CHANGE:
            changes.finish_interrupted(fs, layout, reporter)
            return "finished the interrupted change"
        case Remedy.DROP_INTENT:
            kept = f"{path}.dropped"
            fs.rename(path, kept)
            fs.sync(layout.control)
            return f"dropped the interrupted change; what it was is kept in {shown(kept)}"
        case Remedy.CUT_HISTORY:
            history.cut_torn_line(fs, layout)
            return f"cut off the torn line of {shown(path)}"
        case Remedy.REMOVE_LEFTOVER:
            if path == layout.scratch:
                guarantee.clear_scratch(fs, layout)
            else:
                fs.remove(path)
            return f"removed {shown(path)}"
        case Remedy.CLOSE_LOCK:
            fs.set_mode(path, control.lock_mode(fs, layout))
            return f"closed {shown(path)} to others"
        case Remedy.SHARE:
            _share(fs, layout, path)
            return f"shared {shown(path)} with the group"


def _share(fs: FileSystem, layout: Layout, path: str) -> None:
    name = config.load(fs, layout, trust.trusted_owners(fs, layout)).group
    directory = fs.entry(path, follow=True).kind is Kind.DIRECTORY
    mode = 0o2775 if directory else 0o660 if path == layout.lock else 0o664
    fs.set_mode(path, mode, group=None if name is None else grp.getgrnam(name).gr_gid)
