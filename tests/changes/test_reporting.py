"""Who is told what, and when."""

import pytest

from changed import ADA, BOB, Heard, Target, in_memory
from tierctl import changes
from tierctl.errors import (
    Locked,
    TierctlError,
)
from tierctl.request import Promotion, Rollback


class TestReport:
    def test_it_comes_when_all_is_durable_and_before_the_note_is_removed(self) -> None:
        fs, target = in_memory()
        found: list[object] = []

        def look() -> None:
            fs.cut_power()
            found.extend((target.served, len(target.events), target.is_noted))

        changes.carry_out(fs, target.layout, Promotion(), ADA, Heard(look), lock_timeout=0)
        assert [42, 1, True] == found

    def test_so_it_does_where_an_interrupted_change_is_finished(self, new: Target) -> None:
        new.kill(Promotion(), "exchange", new.layout.within("production"))
        found: list[object] = []

        def look() -> None:
            found.extend((new.served, len(new.events), new.is_noted))

        changes.carry_out(new.fs, new.layout, Promotion(), ADA, Heard(look), lock_timeout=0)
        assert [42, 1, True] == found

    def test_an_error_of_the_listener_is_not_taken_for_one_of_the_change(self, new: Target) -> None:
        def fail() -> None:
            raise BrokenPipeError

        with pytest.raises(BrokenPipeError):
            changes.carry_out(new.fs, new.layout, Promotion(), ADA, Heard(fail), lock_timeout=0)
        assert (42, 1) == (new.served, len(new.events))


class TestLock:
    def test_who_holds_it_is_named(self, new: Target) -> None:
        found: list[TierctlError] = []

        def meanwhile() -> None:
            with pytest.raises(Locked) as caught:
                new.carry_out(Promotion(), author=BOB)
            found.append(caught.value)

        changes.carry_out(new.fs, new.layout, Promotion(), ADA, Heard(meanwhile), lock_timeout=0)
        (error,) = found
        assert "ada on lab (promotion" in error.message
        assert "--lock-timeout" in error.hint
        assert (42, 1) == (new.served, len(new.events))

    def test_a_preview_does_not_wait_for_it(self, new: Target) -> None:
        heard = Heard(lambda: new.preview(Rollback()))
        changes.carry_out(new.fs, new.layout, Promotion(), ADA, heard, lock_timeout=0)
        assert 42 == new.served
