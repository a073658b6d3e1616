"""A dry run says what the real one does, and writes nothing."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from changed import ADA, Heard, Make, Scene, in_memory
from places import place_on
from targets import listing, make_target
from tierctl.change import change
from tierctl.change.change import Outcome
from tierctl.change.requests import Promotion, Request, Rollback
from tierctl.errors import (
    TierctlError,
    Untrusted,
)
from tierctl.fs.protocol import exists
from tierctl.journal.events import Event
from tierctl.rotation.state import Color
from tierctl.target.target import Target
from tierctl.testing import Effect, Fault, FaultyFileSystem


class TestPreview:
    @pytest.mark.parametrize("links", [{}, {"blue": 42, "green": 41}, {"production": None}])
    @pytest.mark.parametrize("promotions", [0, 1, 2])
    @pytest.mark.parametrize("request_", [Promotion(force=True), Rollback(), Rollback(to=42)])
    def test_it_tells_what_carry_out_does_or_raises_what_it_raises(
        self, make: Make, links: dict[str, int], promotions: int, request_: Request
    ) -> None:
        target = make(**links)
        for number in range(43, 43 + promotions):
            target.carry_out(Promotion())
            if links.get("blue"):
                target.deploy(number)
        assert told(target.preview, request_) == told(target.carry_out, request_)

    @pytest.mark.parametrize("request_", [Promotion(), Promotion(force=True), Rollback()])
    @pytest.mark.parametrize("effect", [Effect.NONE, Effect.WHOLE], ids=["before", "after"])
    @pytest.mark.parametrize("again", [False, True])
    def test_so_it_does_when_an_interrupted_change_is_waiting(
        self, new: Scene, request_: Request, effect: Effect, again: bool
    ) -> None:
        path = new.layout.within("production")
        new.kill(Promotion(), "exchange", path, effect)
        if again:
            new.kill(Promotion(), "remove", new.layout.intent)
        assert told(new.preview, request_) == told(new.carry_out, request_)

    def test_without_exchange_it_foretells_that_too(self) -> None:
        _, target = in_memory(exchanges=False)
        assert told(target.preview, Promotion()) == told(target.carry_out, Promotion())

    @pytest.mark.parametrize("waiting", [False, True])
    @pytest.mark.parametrize("request_", [Promotion(), Promotion(to=Color.GREEN), Rollback()])
    def test_it_writes_nothing_at_all(
        self, tmp_path: Path, request_: Request, waiting: bool
    ) -> None:
        place = place_on("real", tmp_path)
        target = Scene(place.fs, make_target(place.root, blue=42, green=41))
        if waiting:
            target.kill(Promotion(), "exchange", target.layout.within("production"))
        before = listing(tmp_path), tmp_path.stat().st_mtime_ns
        told(target.preview, request_)
        assert before == (listing(tmp_path), tmp_path.stat().st_mtime_ns)
        assert waiting is exists(target.fs, target.layout.lock)

    def test_records_that_are_elsewhere_are_refused_as_by_carry_out(self, new: Scene) -> None:
        new.fs.make_directory(new.layout.within("elsewhere"), 0o755)
        new.fs.make_link(new.layout.control, "elsewhere")
        for attempt in (new.carry_out, new.preview):
            with pytest.raises(Untrusted):
                attempt(Promotion())

    def test_it_uses_no_verb_that_changes_anything(self, new: Scene) -> None:
        fs = RefreshedByReading(new.fs, Fault(0))
        change.preview(Target(fs, new.layout), Promotion(), ADA, Heard())
        asking = {"entry", "read_link", "names", "load", "refresh"}
        assert {operation.verb for operation in fs.trace} <= asking


class RefreshedByReading(FaultyFileSystem):
    """A filesystem of which nothing may be refreshed by writing."""

    def refresh(self, path: str, *, write: bool = False, names: Sequence[str] = ()) -> None:
        assert not write
        super().refresh(path, write=write, names=names)


def told(attempt: Callable[[Request], Heard], request: Request) -> list[object]:
    """Return what was told or raised, without what differs between any two events."""
    try:
        heard = attempt(request).told
    except TierctlError as error:
        return [type(error), error.message, error.hint]
    return [
        each._replace(event=each.event and without_id(each.event))
        if isinstance(each, Outcome)
        else without_id(each)
        if isinstance(each, Event)
        else each
        for each in heard
    ]


def without_id(event: Event) -> Event:
    return event._replace(id="", time="")
