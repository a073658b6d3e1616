"""Who is told what, and when."""

import pytest

from changed import ADA, BOB, Heard, Scene, in_memory
from tierctl.change import change
from tierctl.change.requests import Promotion, Rollback
from tierctl.errors import (
    Locked,
    TierctlError,
)
from tierctl.target.target import Target


class TestReport:
    def test_it_comes_when_all_is_durable_and_before_the_note_is_removed(self) -> None:
        fs, target = in_memory()
        found: list[object] = []

        def look() -> None:
            fs.cut_power()
            found.extend((target.served, len(target.events), target.is_noted))

        change.carry_out(Target(fs, target.layout), Promotion(), ADA, Heard(look), lock_timeout=0)
        assert [42, 1, True] == found

    def test_so_it_does_where_an_interrupted_change_is_finished(self, new: Scene) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        found: list[object] = []

        def look() -> None:
            found.extend((new.served, len(new.events), new.is_noted))

        change.carry_out(Target(new.fs, new.layout), Promotion(), ADA, Heard(look), lock_timeout=0)
        assert [42, 1, True] == found

    def test_an_error_of_the_listener_is_not_taken_for_one_of_the_change(self, new: Scene) -> None:
        def fail() -> None:
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            change.carry_out(
                Target(new.fs, new.layout), Promotion(), ADA, Heard(fail), lock_timeout=0
            )
        assert (42, 1) == (new.served, len(new.events))


class TestLock:
    def test_who_holds_it_is_named(self, new: Scene) -> None:
        found: list[TierctlError] = []

        def meanwhile() -> None:
            with pytest.raises(Locked) as caught:
                new.carry_out(Promotion(), author=BOB)
            found.append(caught.value)

        change.carry_out(
            Target(new.fs, new.layout), Promotion(), ADA, Heard(meanwhile), lock_timeout=0
        )
        (error,) = found
        assert "ada on lab (promotion" in error.message
        assert "--lock-timeout" in error.hint
        assert (42, 1) == (new.served, len(new.events))

    def test_a_preview_does_not_wait_for_it(self, new: Scene) -> None:
        heard = Heard(lambda: new.preview(Rollback()))
        change.carry_out(Target(new.fs, new.layout), Promotion(), ADA, heard, lock_timeout=0)
        assert 42 == new.served
