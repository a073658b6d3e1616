"""What an interrupted change left is finished first."""

import pytest

from changed import ADA, BOB, Scene, inodes
from targets import make_deployment
from tierctl.change.change import Outcome
from tierctl.change.requests import Promotion, Rollback
from tierctl.errors import (
    BadFile,
    Interrupted,
    NothingToRollBackTo,
)
from tierctl.rotation.names import LINKS
from tierctl.rotation.state import Color
from tierctl.target.paths import temporary
from tierctl.testing import Effect


class TestInterrupted:
    @pytest.mark.parametrize("effect", [Effect.NONE, Effect.WHOLE], ids=["before", "after"])
    def test_a_change_that_is_asked_for_again_is_finished_reported_and_no_more(
        self, new: Scene, effect: Effect
    ) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"), effect)
        heard = new.carry_out(Promotion(), author=BOB)
        assert (42, False) == (new.served, new.is_noted)
        (event,) = new.events
        assert ADA == event.author
        assert [event, Outcome(event.before, event.after, (), event)] == heard.told

    def test_another_change_goes_ahead_when_it_is_finished(self, new: Scene) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        heard = new.carry_out(Rollback(), author=BOB)
        assert (41, False) == (new.served, new.is_noted)
        rollback, promotion = new.events
        assert (BOB, ADA) == (rollback.author, promotion.author)
        assert [promotion] == heard.told[:1]
        assert rollback == heard.outcome.event

    def test_it_stays_finished_when_the_one_asked_for_is_refused(self, new: Scene) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        with pytest.raises(NothingToRollBackTo):
            new.carry_out(Rollback(to=7))
        assert (42, 1, False) == (new.served, len(new.events), new.is_noted)

    def test_a_rollback_to_another_place_is_another_change(self, travelled: Scene) -> None:
        travelled.kill(Rollback(), "exchange", travelled.layout.within("production"))
        travelled.carry_out(Rollback(to=41))
        assert (41, 5) == (travelled.served, len(travelled.events))

    def test_a_promotion_to_the_color_that_it_had_reached_is_the_same(self, new: Scene) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        new.carry_out(Promotion(to=Color.BLUE))
        assert (42, 1) == (new.served, len(new.events))

    def test_what_was_reported_and_still_noted_is_reported_again_and_no_more(
        self, new: Scene
    ) -> None:
        new.kill(Promotion(), "remove", new.layout.intent)
        new.carry_out(Promotion(force=True))
        assert (42, 1, False) == (new.served, len(new.events), new.is_noted)

    def test_links_that_were_moved_since_are_left_alone(self, new: Scene) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        make_deployment(new.layout, 7, fs=new.fs)
        new.point("green", "deployments/7")
        before = inodes(new)
        for attempt in (new.preview, new.carry_out):
            with pytest.raises(Interrupted) as caught:
                attempt(Promotion())
            assert "green: deployment 41" in caught.value.message
            assert "green: deployment 7" in caught.value.message
            assert "doctor --fix" == caught.value.command
        assert (before, [], True) == (inodes(new), new.events, new.is_noted)

    def test_a_note_that_cannot_be_read_stops_everything(self, new: Scene) -> None:
        new.carry_out(Promotion())
        new.fs.write(new.layout.intent, b"{", mode=0o644)
        for attempt in (new.preview, new.carry_out):
            with pytest.raises(BadFile):
                attempt(Rollback())
        assert 42 == new.served

    def test_links_that_were_prepared_and_forgotten_are_in_nobody_s_way(self, new: Scene) -> None:
        for name in LINKS:
            new.fs.make_link(temporary(new.layout.within(name)), "elsewhere")
        new.carry_out(Promotion())
        assert 42 == new.served
