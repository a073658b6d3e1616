"""What ``doctor --fix`` does: remedies, under the target's lock, for what is still so."""

from __future__ import annotations

import grp
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from tierctl import config, control, ending, history, recovery
from tierctl.deploy import numbering, tree
from tierctl.doctor import aside, deployments, leftovers, permissions, records, scratch
from tierctl.doctor.finding import Finding, Remedy
from tierctl.errors import TierctlError, cause_of
from tierctl.events import Author
from tierctl.filesystem import FileSystem, Kind
from tierctl.layout import Layout
from tierctl.locking import HeldLock, locked
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
    reporter: ending.Reporter,
    *,
    lock_timeout: float,
) -> list[Repair]:
    """Repair what is safe to repair, and say of each what was done or why not.

    Raises ``NotWritable``, ``Untrusted``, or as ``locked`` does, or ``OSError`` where
    the records cannot be looked at: then nothing is repaired.
    """
    control.require_writable(fs, layout)
    control.ensure(fs, layout)
    with locked(fs, layout, author, "doctor", lock_timeout) as lock:
        # What was found before the lock was ours may have been another change at work.
        repairing = _Repairing(fs, layout, reporter, lock, [])
        done = [repair for examine in _REPAIRABLE for repair in repairing.repairs(examine)]
    # What has lost its name is in nobody's way; to remove many files takes minutes.
    try:
        tree.remove_retired(repairing.going)
    except OSError as error:
        done.append(
            Repair(f"could not {Remedy.REMOVE_BUILDS.value}: {cause_of(error)}", done=False)
        )
    return done


_SHARED_DIRECTORY = 0o2070
_SHARED_FILE = 0o060
_REPAIRABLE = (
    records.unfinished_change,
    records.torn_history,
    leftovers.removable,
    deployments.abandoned,
    permissions.unshared,
    permissions.open_lock,
)


class _Repairing(NamedTuple):
    """Where is repaired, who hears of it, and the lock that is held meanwhile.

    ``going`` are the trees that have lost their names, to be removed after that.
    """

    fs: FileSystem
    layout: Layout
    reporter: ending.Reporter
    lock: HeldLock
    going: list[str]

    def repairs(
        self, examine: Callable[[FileSystem, Layout], Iterator[Finding]]
    ) -> Iterator[Repair]:
        """Repair what an examination finds, one after the other."""
        found: list[Finding] = []
        unseen = ""
        try:
            with suppress(TierctlError):  # a finding of its own, without a remedy
                found.extend(examine(self.fs, self.layout))
        except OSError as error:
            unseen = cause_of(error)
        for finding in found:
            if finding.remedy is not None:
                yield self._attempt(finding, finding.remedy)
        if unseen:
            yield Repair(f"could not see all that may have to be repaired: {unseen}", done=False)

    def _attempt(self, finding: Finding, remedy: Remedy) -> Repair:
        try:
            self.lock.require()
            return Repair(self._apply(finding, remedy), done=True)
        except TierctlError as error:
            return Repair(f"could not {remedy.value}: {error.message}", done=False)
        except OSError as error:
            return Repair(f"could not {remedy.value}: {cause_of(error)}", done=False)

    def _apply(self, finding: Finding, remedy: Remedy) -> str:
        """Do it and return what was done."""
        fs, layout, reporter, lock, going = self
        path = finding.path
        match remedy:
            case Remedy.FINISH_CHANGE:
                event = recovery.interrupted_change(fs, layout)
                if event is not None:
                    recovery.finish(fs, layout, event, reporter, lock)
                return "finished the interrupted change"
            case Remedy.DROP_INTENT:
                return f"dropped the interrupted change; it is kept in {shown(_drop(fs, layout))}"
            case Remedy.CUT_HISTORY:
                history.cut_torn_line(fs, layout)
                return f"cut off the torn line of {shown(path)}"
            case Remedy.REMOVE_LEFTOVER:
                _remove(fs, layout, path)
                return f"removed {shown(path)}"
            case Remedy.REMOVE_BUILDS:
                with numbering.held(fs, layout, 0):
                    left = numbering.retire_unfinished(fs, layout)
                going.extend(chain(*left.values()))
                if not left:
                    return "found nothing left of interrupted deploys any more"
                return f"removed what was left of deployment {', '.join(map(str, left))}"
            case Remedy.CLOSE_LOCK:
                fs.set_mode(path, control.lock_mode(fs, layout))
                return f"closed {shown(path)} to others"
            case Remedy.SHARE:
                _share(fs, layout, path)
                return f"shared {shown(path)} with the group"


def _drop(fs: FileSystem, layout: Layout) -> str:
    """Have no intent, and return where it is kept."""
    kept = aside.free_name(fs, f"{layout.intent}.dropped")
    fs.rename(layout.intent, kept)
    fs.sync(layout.control)
    return kept


def _remove(fs: FileSystem, layout: Layout, path: str) -> None:
    if path == layout.scratch:
        scratch.clear(fs, layout)
    else:
        fs.remove(path)


def _share(fs: FileSystem, layout: Layout, path: str) -> None:
    name = config.load(fs, layout).group
    entry = fs.entry(path, follow=True)
    # Who could not read it before need not be meant to.
    mode = entry.mode | (_SHARED_DIRECTORY if entry.kind is Kind.DIRECTORY else _SHARED_FILE)
    fs.set_mode(path, mode, group=None if name is None else grp.getgrnam(name).gr_gid)
