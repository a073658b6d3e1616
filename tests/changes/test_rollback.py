"""Where a rollback leads, and what it says where it leads nowhere."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest

from changed import PLAIN, Make, Scene
from targets import make_deployment
from tierctl.change.requests import Promotion, Request, Rollback
from tierctl.errors import EmptiesProduction, Guarded, NothingToRollBackTo
from tierctl.journal.events import EventKind
from tierctl.rotation.state import Content


class TestRollback:
    def test_it_swaps_back_if_nothing_else_moved(self, moved: Scene) -> None:
        outcome = moved.carry_out(Rollback()).outcome
        assert 41 == moved.served
        assert ["exchange production and staging"] == list(map(str, outcome.steps))

    def test_a_color_that_was_pointed_elsewhere_is_pointed_back_in_one_change(
        self, moved: Scene
    ) -> None:
        moved.deploy(43)
        outcome = moved.carry_out(Rollback()).outcome
        assert 41 == moved.served
        steps = ["point green to deployments/41", "exchange production and staging"]
        assert steps == list(map(str, outcome.steps))
        assert [EventKind.ROLLBACK, EventKind.PROMOTION] == [e.kind for e in moved.events]

    def test_one_intent_covers_the_color_and_the_tiers(self, moved: Scene) -> None:
        """Killed between the two: the next command finishes both."""
        moved.deploy(43)
        moved.kill(Rollback(), "exchange", moved.layout.within("production"))
        assert (42, Content.of_deployment(41)) == (moved.served, moved.state.staged)
        moved.carry_out(Rollback())
        assert (41, 2) == (moved.served, len(moved.events))

    def test_again_goes_further_back_and_never_forward(self, travelled: Scene) -> None:
        went = []
        for _ in range(3):
            travelled.carry_out(Rollback())
            went.append(travelled.served)
        with pytest.raises(NothingToRollBackTo):
            travelled.carry_out(Rollback())
        assert [43, 42, 41] == went
        assert 41 == travelled.served

    def test_any_finished_deployment_can_be_named(self, travelled: Scene) -> None:
        make_deployment(travelled.layout, 7, fs=travelled.fs)
        travelled.carry_out(Rollback(to=7))
        assert 7 == travelled.served
        travelled.carry_out(Rollback())
        assert 43 == travelled.served

    def test_over_several_it_leads_on_from_there(self, travelled: Scene) -> None:
        travelled.carry_out(Rollback(to=42))
        travelled.carry_out(Rollback())
        assert 41 == travelled.served

    def test_what_is_served_is_no_change(self, moved: Scene) -> None:
        assert moved.carry_out(Rollback(to=42)).outcome.event is None
        assert 1 == len(moved.events)

    def test_plain_directories_go_back_once(self, plain: Scene) -> None:
        plain.carry_out(Promotion())
        plain.carry_out(Rollback())
        assert PLAIN == plain.state
        with pytest.raises(NothingToRollBackTo):
            plain.carry_out(Rollback())

    def test_a_promotion_goes_on_after_it(self, moved: Scene) -> None:
        moved.carry_out(Rollback())
        moved.deploy(43)
        moved.carry_out(Promotion())
        moved.carry_out(Rollback())
        assert 41 == moved.served


class TestTheEmptyTier:
    """A second rollback is often meant as undo: it empties production only if it is asked to."""

    @pytest.fixture
    def first(self, make: Make) -> Scene:
        """Production has moved on from the empty tier to 2."""
        target = make(blue=2, green=1, empty=(1,))
        target.carry_out(Promotion())
        return target

    def test_it_is_no_way_back_unless_it_is_named(self, first: Scene) -> None:
        before, events = first.state, first.events
        for attempt in (first.preview, first.carry_out):
            with pytest.raises(EmptiesProduction, match="deployment 1, the empty tier") as caught:
                attempt(Rollback())
            assert "rollback --to 1" == caught.value.command
        assert (before, events, False) == (first.state, first.events, first.is_noted)
        first.carry_out(Rollback(to=1))
        assert 1 == first.served

    def test_who_meant_to_undo_a_rollback_is_told_how(self, first: Scene) -> None:
        first.deploy(3)
        first.carry_out(Promotion())
        first.carry_out(Rollback())
        with pytest.raises(EmptiesProduction) as caught:
            first.carry_out(Rollback())
        assert "To undo the last rollback: --to 3." in caught.value.hint
        first.carry_out(Rollback(to=3))
        assert 3 == first.served

    def test_nobody_who_has_not_rolled_back_is_told_to_undo_that(self, first: Scene) -> None:
        with pytest.raises(EmptiesProduction) as caught:
            first.carry_out(Rollback())
        assert "undo" not in caught.value.hint

    @pytest.mark.parametrize(("before", "is_refused"), [(1, False), (41, True)])
    def test_its_record_makes_it_empty_and_not_its_number(
        self, make: Make, before: int, is_refused: bool
    ) -> None:
        target = make(blue=42, green=before, empty=(41,))
        target.carry_out(Promotion())
        with pytest.raises(EmptiesProduction) if is_refused else nullcontext():
            target.carry_out(Rollback())
        assert (42 if is_refused else before) == target.served

    def test_between_two_that_are_empty_nothing_vanishes(self, make: Make) -> None:
        target = make(blue=2, green=1, empty=(1, 2))
        target.carry_out(Promotion())
        target.carry_out(Rollback())
        assert 1 == target.served

    @pytest.mark.parametrize("to", [None, 1])
    def test_an_interrupted_rollback_to_it_is_finished_unasked(
        self, first: Scene, to: int | None
    ) -> None:
        first.kill(Rollback(to=1), "write", first.layout.history)
        first.carry_out(Rollback(to))
        assert (1, False) == (first.served, first.is_noted)

    def test_another_command_finishes_it_too(self, first: Scene) -> None:
        first.kill(Rollback(to=1), "exchange", first.layout.within("production"))
        with pytest.raises(Guarded):
            first.carry_out(Promotion())
        assert (1, False) == (first.served, first.is_noted)

    def test_one_whose_record_cannot_be_read_is_not_known_to_be_empty(self, first: Scene) -> None:
        first.fs.write(first.layout.deployment_record("deployments/1"), b"no JSON")
        first.carry_out(Rollback())
        assert 1 == first.served

    def test_a_promotion_of_it_says_what_it_is(self, first: Scene) -> None:
        with pytest.raises(Guarded, match="shows deployment 1, the empty tier, which"):
            first.carry_out(Promotion())


def no_production(make: Make) -> tuple[Scene, Request]:
    return make(production=None, blue=42, green=41), Rollback()


def only_the_first_promotion(make: Make) -> tuple[Scene, Request]:
    target = make(production=None, blue=42, green=41)
    target.carry_out(Promotion())
    return target, Rollback()


def records_missing(make: Make) -> tuple[Scene, Request]:
    target = make(blue=42, green=41)
    target.carry_out(Promotion())
    target.fs.remove(target.layout.history)
    return target, Rollback()


def content_gone(make: Make) -> tuple[Scene, Request]:
    target = make(blue=42, green=41)
    target.carry_out(Promotion())
    target.deploy(43)
    record = target.layout.deployment_record("deployments/41")
    for path in (
        record,
        record.removesuffix("/deployment.json"),
        target.layout.within("deployments/41"),
    ):
        target.fs.remove(path)
    return target, Rollback()


def content_unfinished(make: Make) -> tuple[Scene, Request]:
    target = make(blue=42, green=41)
    make_deployment(target.layout, 9, finished=False, fs=target.fs)
    return target, Rollback(to=9)


def never_there(make: Make) -> tuple[Scene, Request]:
    return make(blue=42, green=41), Rollback(to=9)


def plain_directory_gone(make: Make) -> tuple[Scene, Request]:
    """Staging's plain directory was adopted by a deploy since."""
    target = make()
    target.carry_out(Promotion())
    make_deployment(target.layout, 1, fs=target.fs)
    target.fs.remove(target.layout.within("green"))
    target.fs.make_link(target.layout.within("green"), "deployments/1")
    return target, Rollback()


def plain_directory_in_the_way(make: Make) -> tuple[Scene, Request]:
    return make(green=41, deployments=(40,)), Rollback(to=40)


REFUSED_ROLLBACKS = {
    no_production: "production does not exist yet",
    only_the_first_promotion: "history does not say what production served before that",
    records_missing: "history does not say what production served before that",
    content_gone: "deployment 41 is not there",
    content_unfinished: "deployment 9 was never finished",
    never_there: "deployment 9 is not there",
    plain_directory_gone: "the plain directory green",
    plain_directory_in_the_way: "staging's color blue is a plain directory",
}


@pytest.mark.parametrize("build", REFUSED_ROLLBACKS)
def test_without_a_way_back_nothing_is_changed(
    make: Make, build: Callable[[Make], tuple[Scene, Request]]
) -> None:
    target, request = build(make)
    before, events = target.state, target.events
    for attempt in (target.preview, target.carry_out):
        with pytest.raises(NothingToRollBackTo) as caught:
            attempt(request)
        assert REFUSED_ROLLBACKS[build] in caught.value.message
        assert caught.value.hint
    assert (before, events, False) == (target.state, target.events, target.is_noted)
