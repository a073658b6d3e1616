"""What a promotion does and refuses."""

import pytest

from changed import ADA, PLAIN, Make, Scene, in_memory
from targets import make_deployment
from tierctl.change.change import Outcome
from tierctl.change.requests import Promotion, Rollback
from tierctl.errors import (
    Guarded,
    SameColor,
    WrongColor,
)
from tierctl.fs.protocol import exists
from tierctl.journal import intent
from tierctl.journal.events import EventKind
from tierctl.rotation.names import LINKS
from tierctl.rotation.state import Color, promoted
from tierctl.target.target import Target


class TestPromotion:
    def test_plain_directories_go_back_and_forth(self, plain: Scene) -> None:
        for state in (promoted(PLAIN), PLAIN, promoted(PLAIN)):
            plain.carry_out(Promotion())
            assert state == plain.state
        assert 3 == len(plain.events)

    def test_production_serves_what_was_staged(self, new: Scene) -> None:
        outcome = new.carry_out(Promotion()).outcome
        assert 42 == new.served
        assert ["exchange production and staging"] == list(map(str, outcome.steps))
        assert (outcome.after, [outcome.event]) == (new.state, new.events)

    def test_the_event_tells_who_why_and_what(self, new: Scene) -> None:
        before = new.state
        new.carry_out(Promotion())
        (event,) = new.events
        assert (EventKind.PROMOTION, ADA) == (event.kind, event.author)
        assert (before, new.state) == (event.before, event.after)

    def test_the_first_one_makes_production(self, make: Make) -> None:
        target = make(production=None)
        outcome = target.carry_out(Promotion()).outcome
        assert promoted(PLAIN) == target.state
        steps = ["point staging to green", "point production to blue"]
        assert steps == list(map(str, outcome.steps))

    def test_it_is_done_and_tidy(self, new: Scene) -> None:
        new.carry_out(Promotion())
        assert [".tierctl", *sorted((*LINKS, "deployments"))] == new.fs.names(
            new.layout.infrastructure
        )
        assert ["history.jsonl", "holder.json", "lock"] == new.fs.names(new.layout.control)

    def test_without_exchange_the_links_are_replaced_one_by_one(self) -> None:
        _, target = in_memory(exchanges=False)
        outcome = target.carry_out(Promotion()).outcome
        assert 42 == target.served
        steps = ["point production to blue", "point staging to green"]
        assert steps == list(map(str, outcome.steps))

    def test_to_a_color_is_done_once(self, new: Scene) -> None:
        new.carry_out(Promotion(to=Color.BLUE))
        again = new.carry_out(Promotion(to=Color.BLUE)).outcome
        assert Outcome(new.state, new.state, (), None) == again
        assert (42, 1) == (new.served, len(new.events))

    def test_to_a_color_that_is_not_staged_is_refused(self, make: Make) -> None:
        target = make(production=None)
        with pytest.raises(WrongColor):
            target.carry_out(Promotion(to=Color.GREEN))
        assert target.state.production is None

    def test_what_production_served_before_is_guarded(self, moved: Scene) -> None:
        with pytest.raises(Guarded, match="rollback") as caught:
            moved.carry_out(Promotion())
        assert "rollback --to 41" == caught.value.command
        assert (42, 1) == (moved.served, len(moved.events))

    def test_what_was_rolled_back_is_guarded(self, moved: Scene) -> None:
        moved.carry_out(Rollback())
        with pytest.raises(Guarded, match="rolled back"):
            moved.carry_out(Promotion())
        assert 41 == moved.served

    def test_what_was_never_finished_is_guarded(self, plain: Scene) -> None:
        make_deployment(plain.layout, 7, finished=False, fs=plain.fs)
        new = plain._replace()
        new.fs.rename(new.layout.within("blue"), new.layout.within("old"))
        new.fs.make_link(new.layout.within("blue"), "deployments/7")
        with pytest.raises(Guarded, match="deployment 7, which was never finished"):
            new.carry_out(Promotion())
        assert (None, []) == (new.served, new.events)
        new.carry_out(Promotion(force=True))
        assert 7 == new.served

    def test_force_passes_the_guards(self, moved: Scene) -> None:
        moved.carry_out(Promotion(force=True))
        assert 41 == moved.served

    def test_force_passes_no_validation(self, plain: Scene) -> None:
        plain.point("production", "blue")
        with pytest.raises(SameColor):
            plain.carry_out(Promotion(force=True))

    def test_without_records_nothing_is_guarded(self, moved: Scene) -> None:
        moved.fs.remove(moved.layout.history)
        moved.carry_out(Promotion())
        assert 41 == moved.served


class TestMadeByHand:
    def test_records_appear_when_they_are_first_needed(self, plain: Scene) -> None:
        assert not exists(plain.fs, plain.layout.control)
        plain.preview(Promotion())
        assert not exists(plain.fs, plain.layout.control)
        plain.carry_out(Promotion())
        assert 1 == len(plain.events)

    @pytest.mark.parametrize("spelling", ["green", "./green", "green/", "{}/green"])
    def test_links_may_be_spelled_in_any_way(self, make: Make, spelling: str) -> None:
        target = make()
        target.point("production", spelling.format(target.layout.infrastructure))
        target.carry_out(Promotion())
        assert promoted(PLAIN) == target.state


def test_an_intent_is_written_before_the_first_step(new: Scene) -> None:
    new.kill(Promotion(), "exchange", new.layout.within("production"))
    event = intent.read(Target(new.fs, new.layout))
    assert event is not None
    assert (new.state, promoted(new.state)) == (event.before, event.after)
