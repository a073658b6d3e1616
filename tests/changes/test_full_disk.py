"""A full disk does not block the way back."""

import errno

import pytest

from changed import ADA, FULL, Failing, Heard, Scene, in_memory, inodes
from tierctl.change import change
from tierctl.change.requests import Promotion, Rollback
from tierctl.errors import (
    ChangeFailed,
    ChangeUnfinished,
    Guarded,
    TierctlError,
)
from tierctl.fs.protocol import FileSystem, exists
from tierctl.target.paths import temporary
from tierctl.target.target import Target
from tierctl.testing import Effect, Fault, FaultyFileSystem


class TestFullDisk:
    """A full disk never blocks the way back."""

    @pytest.mark.parametrize("number", FULL)
    @pytest.mark.parametrize("effect", [Effect.NONE, Effect.TORN])
    def test_a_promotion_is_refused_and_nothing_is_changed(
        self, new: Scene, number: int, effect: Effect
    ) -> None:
        before = inodes(new)
        with pytest.raises(ChangeFailed):
            new.fail(Promotion(), "write", temporary(new.layout.intent), number, effect)
        assert (before, [], False) == (inodes(new), new.events, new.is_noted)
        assert not exists(new.fs, temporary(new.layout.intent))
        new.carry_out(Promotion())

    @pytest.mark.parametrize("number", FULL)
    def test_a_rollback_goes_ahead_without_a_note(self, moved: Scene, number: int) -> None:
        heard = moved.fail(Rollback(), "write", temporary(moved.layout.intent), number)
        assert (41, [], False) == (moved.served, heard.warnings, moved.is_noted)
        assert heard.outcome.event == moved.events[0]

    @pytest.mark.parametrize("number", FULL)
    def test_a_rollback_goes_ahead_without_record_and_says_so(
        self, moved: Scene, number: int
    ) -> None:
        heard = Heard()
        fs = Full(moved.fs, number)
        change.carry_out(Target(fs, moved.layout), Rollback(), ADA, heard, lock_timeout=0)
        assert (41, 1, False) == (moved.served, len(moved.events), moved.is_noted)
        (warning,) = heard.warnings
        assert "rollback is not in history" in warning
        assert 41 == heard.outcome.after.served.deployment  # type: ignore[union-attr]

    def test_it_goes_further_back_all_the_same(self, moved: Scene) -> None:
        """Without records of the way, as if the links had been moved by hand."""
        moved.carry_out(Rollback())
        moved.deploy(43)
        moved.carry_out(Promotion())
        fs = Full(moved.fs, errno.ENOSPC)
        change.carry_out(Target(fs, moved.layout), Rollback(), ADA, Heard(), lock_timeout=0)
        assert 41 == moved.served
        with pytest.raises(Guarded, match="rolled back"):
            moved.carry_out(Promotion())

    def test_noted_but_not_recorded_is_over_as_well(self, moved: Scene) -> None:
        heard = moved.fail(Rollback(), "write", moved.layout.history, errno.ENOSPC)
        assert (41, False) == (moved.served, moved.is_noted)
        assert 1 == len(heard.warnings)

    def test_a_rollback_of_more_than_one_step_is_refused(self, moved: Scene) -> None:
        moved.deploy(43)
        before = inodes(moved)
        with pytest.raises(ChangeFailed):
            moved.fail(Rollback(), "write", temporary(moved.layout.intent), errno.ENOSPC)
        assert (before, 1, False) == (inodes(moved), len(moved.events), moved.is_noted)

    def test_without_exchange_it_is_refused(self) -> None:
        """Foretold or not: two renamings are never without a note."""
        fs, target = in_memory()
        target.carry_out(Promotion())
        fs.exchanges = False
        before = inodes(target)
        with pytest.raises(ChangeFailed, match="No space left"):
            target.fail(Rollback(), "write", temporary(target.layout.intent), errno.ENOSPC)
        assert (before, 1) == (inodes(target), len(target.events))

    def test_any_other_error_is_no_full_disk(self, moved: Scene) -> None:
        with pytest.raises(ChangeFailed):
            moved.fail(Rollback(), "write", temporary(moved.layout.intent), errno.EIO)
        assert 42 == moved.served

    def test_a_promotion_that_could_not_be_recorded_stays_noted(self, new: Scene) -> None:
        with pytest.raises(ChangeUnfinished, match="done, not yet in history"):
            new.fail(Promotion(), "write", new.layout.history, errno.ENOSPC, Effect.TORN)
        assert (42, [], True) == (new.served, new.events, new.is_noted)
        new.carry_out(Promotion())
        assert (42, 1, False) == (new.served, len(new.events), new.is_noted)

    def test_a_promotion_that_could_not_be_recorded_can_be_rolled_back(self, new: Scene) -> None:
        with pytest.raises(ChangeUnfinished):
            new.fail(Promotion(), "write", new.layout.history, errno.ENOSPC)
        heard = Heard()
        fs = Full(new.fs, errno.ENOSPC)
        change.carry_out(Target(fs, new.layout), Rollback(), ADA, heard, lock_timeout=0)
        assert (41, [], False) == (new.served, new.events, new.is_noted)
        assert ["promotion", "rollback"] == [warning.split()[1] for warning in heard.warnings]

    def test_an_unrecorded_rollback_that_is_not_durable_asks_nobody_to_type_it_again(
        self, moved: Scene
    ) -> None:
        fs = Failing(
            Full(moved.fs, errno.ENOSPC),
            "sync",
            moved.layout.infrastructure,
            errno.EIO,
            Effect.NONE,
        )
        with pytest.raises(TierctlError, match="not yet durable") as caught:
            change.carry_out(Target(fs, moved.layout), Rollback(), ADA, Heard(), lock_timeout=0)
        assert "tierctl status" in caught.value.hint


class Full(FaultyFileSystem):
    """A filesystem on which no file can be written."""

    def __init__(self, inner: FileSystem, number: int) -> None:
        super().__init__(inner, Fault(0))
        self.number = number

    def write(self, path: str, *_: object, **__: object) -> None:
        raise OSError(self.number, "full", path)
