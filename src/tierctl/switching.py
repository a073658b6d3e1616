"""Moving the links from one state of an infrastructure to another."""

from __future__ import annotations

from tierctl.filesystem import ExchangeUnsupported, FileSystem, exists
from tierctl.layout import LINKS, Layout, temporary
from tierctl.observe import observe
from tierctl.rotation import Exchange, Plan, Replace, State, plan, states_along


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
        _take(fs, layout, plan(observe(fs, layout), after, exchange=False), after)
    return steps


def go_back(fs: FileSystem, layout: Layout, now: State, before: State, after: State) -> None:
    """Undo the steps that led from ``before`` to ``now`` on the way to ``after``.

    The last one first: a color that production has moved to must not show its
    old content again before production has left it. Raises ``OSError`` where
    the links did not get back. Flushes nothing.
    """
    drop_temporary_links(fs, layout)
    for state in _way_back(now, before, after):
        switch(fs, layout, now, state)
        now = state


def _way_back(now: State, before: State, after: State) -> list[State]:
    for exchange in (True, False):
        way = list(states_along(before, plan(before, after, exchange=exchange)))
        if now in way:
            return way[: way.index(now)][::-1]
    return []


def drop_temporary_links(fs: FileSystem, layout: Layout) -> None:
    """Remove what an interrupted change had prepared."""
    for name in LINKS:
        path = temporary(layout.within(name))
        if exists(fs, path):
            fs.remove(path)


def _take(fs: FileSystem, layout: Layout, steps: Plan, after: State) -> None:
    try:
        _prepare(fs, layout, steps)
        _execute(fs, layout, steps)
    except ExchangeUnsupported:
        raise
    except OSError:
        # The kernel may have done what it reports as failed: only the links know.
        if observe(fs, layout) != after:
            raise


def _prepare(fs: FileSystem, layout: Layout, steps: Plan) -> None:
    for step in steps:
        if isinstance(step, Replace):
            _make_link(fs, temporary(layout.within(step.name)), step.target)


def _make_link(fs: FileSystem, path: str, target: str) -> None:
    """Make a temporary link; one that an interrupted change left there is in the way."""
    try:
        fs.make_link(path, target)
    except FileExistsError:
        fs.remove(path)
        fs.make_link(path, target)


def _execute(fs: FileSystem, layout: Layout, steps: Plan) -> None:
    """Take the steps with nothing in between: a reader may see one tier moved, one not yet."""
    for step in steps:
        match step:
            case Exchange(first, second):
                fs.exchange(layout.within(first), layout.within(second))
            case Replace(name):
                fs.rename(temporary(layout.within(name)), layout.within(name))
