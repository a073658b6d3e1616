"""What ``doctor --fix`` does: remedies, under the target's lock, for what is still so."""

from __future__ import annotations

import grp
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from tierctl.change import ending, recovery
from tierctl.deploy import numbering
from tierctl.doctor import aside, deployments, leftovers, permissions, records, scratch
from tierctl.doctor.finding import Finding, Remedy
from tierctl.errors import TierctlError, cause_of
from tierctl.fs import tree
from tierctl.fs.protocol import Kind
from tierctl.journal import history, store
from tierctl.journal.lock import HeldLock, locked
from tierctl.target import policy
from tierctl.target.target import Target
from tierctl.target.users import Author
from tierctl.text import shown


@dataclass(frozen=True)
class Repair:
    """What was done about a finding, or why it could not be."""

    text: str
    done: bool


def repair(
    target: Target,
    author: Author,
    reporter: ending.Reporter,
    *,
    lock_timeout: float,
) -> list[Repair]:
    """Repair what is safe to repair, and say of each what was done or why not.

    Raises ``NotWritable``, ``Untrusted``, or as ``locked`` does, or ``OSError`` where
    the records cannot be looked at: then nothing is repaired.
    """
    store.require_writable(target)
    store.ensure(target)
    with locked(target, author, "doctor", lock_timeout) as lock:
        # What was found before the lock was ours may have been another change at work.
        repairing = _Repairing(target, reporter, lock, [])
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

    target: Target
    reporter: ending.Reporter
    lock: HeldLock
    going: list[str]

    def repairs(self, examine: Callable[[Target], Iterator[Finding]]) -> Iterator[Repair]:
        """Repair what an examination finds, one after the other."""
        found: list[Finding] = []
        unseen = ""
        try:
            with suppress(TierctlError):  # a finding of its own, without a remedy
                found.extend(examine(self.target))
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
        target, reporter, lock, going = self
        path = finding.path
        match remedy:
            case Remedy.FINISH_CHANGE:
                event = recovery.interrupted_change(target)
                if event is not None:
                    recovery.finish(target, event, reporter, lock)
                return "finished the interrupted change"
            case Remedy.DROP_INTENT:
                kept = _drop(target)
                return f"dropped the interrupted change; it is kept in {shown(kept)}"
            case Remedy.CUT_HISTORY:
                history.cut_torn_line(target)
                return f"cut off the torn line of {shown(path)}"
            case Remedy.REMOVE_LEFTOVER:
                _remove(target, path)
                return f"removed {shown(path)}"
            case Remedy.REMOVE_BUILDS:
                with numbering.held(target, 0):
                    left = numbering.retire_unfinished(target)
                going.extend(chain(*left.values()))
                if not left:
                    return "found nothing left of interrupted deploys any more"
                return f"removed what was left of deployment {', '.join(map(str, left))}"
            case Remedy.CLOSE_LOCK:
                target.fs.set_mode(path, store.lock_mode(target))
                return f"closed {shown(path)} to others"
            case Remedy.SHARE:
                _share(target, path)
                return f"shared {shown(path)} with the group"


def _drop(target: Target) -> str:
    """Have no intent, and return where it is kept."""
    kept = aside.free_name(target.fs, f"{target.intent}.dropped")
    target.fs.rename(target.intent, kept)
    target.fs.sync(target.control)
    return kept


def _remove(target: Target, path: str) -> None:
    if path == target.scratch:
        scratch.clear(target)
    else:
        target.fs.remove(path)


def _share(target: Target, path: str) -> None:
    name = policy.load(target).group
    entry = target.fs.entry(path, follow=True)
    # Who could not read it before need not be meant to.
    mode = entry.mode | (_SHARED_DIRECTORY if entry.kind is Kind.DIRECTORY else _SHARED_FILE)
    target.fs.set_mode(path, mode, group=None if name is None else grp.getgrnam(name).gr_gid)
