"""Moving the links from one state of an infrastructure to another."""

from __future__ import annotations

from contextlib import suppress

from tierctl import freshness
from tierctl.filesystem import ExchangeUnsupported, FileSystem, Kind, exists
from tierctl.layout import DEPLOYMENTS, LINKS, Layout, temporary
from tierctl.observe import observe_for
from tierctl.rotation import (
    Adopt,
    Exchange,
    Plan,
    PutBack,
    Replace,
    SetAside,
    State,
    plan,
    states_along,
)


def switch(
    fs: FileSystem, layout: Layout, before: State, after: State, *, fall_back: bool = True
) -> Plan:
    """Take the steps between two states, by exchange where the filesystem can; return them.

    Raises ``OSError`` where the links did not get to ``after``: they stand then
    in one of the states that the steps pass through. Without ``fall_back`` a
    filesystem that cannot exchange is such an error. Flushes nothing.
    """
    steps = plan(before, after, exchange=True)
    try:
        _take(fs, layout, steps, after)
    except ExchangeUnsupported:
        if not fall_back:
            raise
        steps = plan(before, after, exchange=False)
        _take(fs, layout, plan(observe_for(fs, layout, after), after, exchange=False), after)
    return steps


def go_back(fs: FileSystem, layout: Layout, now: State, before: State, after: State) -> None:
    """Undo the steps that led from ``before`` to ``now`` on the way to ``after``.

    The last one first: a color that production has moved to must not show its
    old content again before production has left it. Raises ``OSError`` where
    the links did not get back. Flushes nothing.
    """
    for state in _way_back(now, before, after):
        switch(fs, layout, now, state)
        now = state


def _way_back(now: State, before: State, after: State) -> list[State]:
    for exchange in (True, False):
        way = list(states_along(before, plan(before, after, exchange=exchange)))
        if now in way:
            return way[: way.index(now)][::-1]
    return []


def drop_temporary_links(fs: FileSystem, layout: Layout, after: State) -> None:
    """Remove what an interrupted change to ``after`` had prepared."""
    for name in (*LINKS, *dict(after.private)):
        with suppress(FileNotFoundError):
            fs.remove(temporary(layout.within(name)))
    if after.adopted is not None:
        _drop_link(fs, _adopted(layout, after.adopted))


def _take(fs: FileSystem, layout: Layout, steps: Plan, after: State) -> None:
    try:
        _prepare(fs, layout, steps)
        _execute(fs, layout, steps)
    except ExchangeUnsupported:
        raise
    except OSError:
        # The kernel or a server may have done what is reported as failed: only the links know.
        freshness.refresh(fs, layout, dict(after.private))
        if observe_for(fs, layout, after) != after:
            raise


def _prepare(fs: FileSystem, layout: Layout, steps: Plan) -> None:
    for step in steps:
        match step:
            case Replace(name, target):
                _make_link(fs, temporary(layout.within(name)), target)
            case Adopt(_, number, target):
                _make_link(fs, _adopted(layout, number), target)
            case SetAside(_, number):
                _drop_link(fs, _adopted(layout, number))


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


def _execute(fs: FileSystem, layout: Layout, steps: Plan) -> None:
    """Take the steps with nothing in between: a reader may see one tier moved, one not yet."""
    for step in steps:
        match step:
            case Exchange(first, second):
                fs.exchange(layout.within(first), layout.within(second))
            case Replace(name):
                fs.rename(temporary(layout.within(name)), layout.within(name))
            case Adopt(name, number):
                fs.exchange(layout.within(name), _adopted(layout, number))
            case SetAside(name, number):
                fs.rename(layout.within(name), _adopted(layout, number))
            case PutBack(name, number):
                fs.rename(_adopted(layout, number), layout.within(name))


def _adopted(layout: Layout, number: int) -> str:
    """Return where a plain directory is kept, and before that the link that takes its place.

    Exchanged, both are where they belong in one step. The link's text is
    relative to the color's place: until then it leads nowhere.
    """
    return layout.within(f"{DEPLOYMENTS}/{number}")
