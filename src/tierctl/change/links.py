"""Moving the links from one state of an infrastructure to another."""

from __future__ import annotations

from contextlib import suppress

from tierctl.fs.protocol import ExchangeUnsupported, FileSystem, Kind, exists
from tierctl.journal import freshness
from tierctl.rotation.names import DEPLOYMENTS, LINKS
from tierctl.rotation.plan import (
    Adopt,
    Exchange,
    Plan,
    PutBack,
    Replace,
    SetAside,
    plan,
    states_along,
)
from tierctl.rotation.state import State
from tierctl.target.links import observe_for
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target


def switch(target: Target, before: State, after: State, *, fall_back: bool = True) -> Plan:
    """Take the steps between two states, by exchange where the filesystem can; return them.

    Raises ``OSError`` where the links did not get to ``after``: they stand then
    in one of the states that the steps pass through. Without ``fall_back`` a
    filesystem that cannot exchange is such an error. Flushes nothing.
    """
    steps = plan(before, after, exchange=True)
    try:
        _take(target, steps, after)
    except ExchangeUnsupported:
        if not fall_back:
            raise
        steps = plan(before, after, exchange=False)
        _take(target, plan(observe_for(target, after), after, exchange=False), after)
    return steps


def go_back(target: Target, now: State, before: State, after: State) -> None:
    """Undo the steps that led from ``before`` to ``now`` on the way to ``after``.

    The last one first: a color that production has moved to must not show its
    old content again before production has left it. Raises ``OSError`` where
    the links did not get back. Flushes nothing.
    """
    for state in _way_back(now, before, after):
        switch(target, now, state)
        now = state


def _way_back(now: State, before: State, after: State) -> list[State]:
    for exchange in (True, False):
        way = list(states_along(before, plan(before, after, exchange=exchange)))
        if now in way:
            return way[: way.index(now)][::-1]
    return []


def drop_temporary_links(target: Target, after: State) -> None:
    """Remove what an interrupted change to ``after`` had prepared."""
    for name in (*LINKS, *dict(after.private)):
        with suppress(FileNotFoundError):
            target.fs.remove(temporary(target.within(name)))
    if after.adopted is not None:
        _drop_link(target.fs, _adopted(target, after.adopted))


def _take(target: Target, steps: Plan, after: State) -> None:
    try:
        _prepare(target, steps)
        _execute(target, steps)
    except ExchangeUnsupported:
        raise
    except OSError:
        # The kernel or a server may have done what is reported as failed: only the links know.
        freshness.refresh(target, dict(after.private))
        if observe_for(target, after) != after:
            raise


def _prepare(target: Target, steps: Plan) -> None:
    for step in steps:
        match step:
            case Replace(name, text):
                _make_link(target.fs, temporary(target.within(name)), text)
            case Adopt(_, number, text):
                _make_link(target.fs, _adopted(target, number), text)
            case SetAside(_, number):
                _drop_link(target.fs, _adopted(target, number))


def _make_link(fs: FileSystem, path: str, target: str) -> None:
    """Make a temporary link; one that an interrupted change left there is in the way."""
    try:
        fs.make_link(path, target)
    except FileExistsError:
        _drop_link(fs, path)
        fs.make_link(path, target)


def _drop_link(fs: FileSystem, path: str) -> None:
    if exists(fs, path) and fs.entry(path).kind is Kind.LINK:
        fs.remove(path)


def _execute(target: Target, steps: Plan) -> None:
    """Take the steps with nothing in between: a reader may see one tier moved, one not yet."""
    for step in steps:
        match step:
            case Exchange(first, second):
                target.fs.exchange(target.within(first), target.within(second))
            case Replace(name):
                target.fs.rename(temporary(target.within(name)), target.within(name))
            case Adopt(name, number):
                target.fs.exchange(target.within(name), _adopted(target, number))
            case SetAside(name, number):
                target.fs.rename(target.within(name), _adopted(target, number))
            case PutBack(name, number):
                target.fs.rename(_adopted(target, number), target.within(name))


def _adopted(layout: Layout, number: int) -> str:
    """Return where a plain directory is kept, and before that the link that takes its place.

    Exchanged, both are where they belong in one step. The link's text is
    relative to the color's place: until then it leads nowhere.
    """
    return layout.within(f"{DEPLOYMENTS}/{number}")
