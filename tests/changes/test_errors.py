"""Every error of the system is told, and nothing is lost by it."""

import errno

import pytest

from changed import Scene, inodes
from tierctl.change.requests import Promotion, Request, Rollback
from tierctl.errors import (
    ChangeFailed,
    ChangeUnfinished,
    NotWritable,
)
from tierctl.fs.protocol import exists
from tierctl.rotation.state import Color, Content
from tierctl.testing import Effect, Fault, FaultyFileSystem


class TestErrors:
    @pytest.mark.parametrize("number", [errno.EIO, errno.EINTR])
    def test_an_exchange_that_was_carried_out_is_no_failure_whatever_it_reports(
        self, new: Scene, number: int
    ) -> None:
        path = new.layout.within("production")
        heard = new.fail(Promotion(), "exchange", path, number, Effect.WHOLE)
        assert (42, 1, []) == (new.served, len(new.events), heard.warnings)

    def test_nor_when_it_finishes_an_interrupted_change(self, new: Scene) -> None:
        path = new.layout.within("production")
        new.kill(Promotion(), "exchange", path)
        new.fail(Promotion(), "exchange", path, errno.EINTR, Effect.WHOLE)
        assert (42, 1) == (new.served, len(new.events))

    @pytest.mark.parametrize("number", [errno.EIO, errno.EINTR])
    def test_an_exchange_that_failed_has_changed_nothing(self, new: Scene, number: int) -> None:
        before = inodes(new)
        with pytest.raises(ChangeFailed):
            new.fail(Promotion(), "exchange", new.layout.within("production"), number)
        assert (before, [], False) == (inodes(new), new.events, new.is_noted)

    def test_a_color_is_back_where_it_was_if_the_tiers_cannot_move(self, moved: Scene) -> None:
        moved.deploy(43)
        with pytest.raises(ChangeFailed):
            moved.fail(Rollback(), "exchange", moved.layout.within("production"), errno.EIO)
        assert (42, Content.of_deployment(43)) == (moved.served, moved.state.staged)

    def test_links_that_cannot_be_flushed_stay_noted_until_the_next_command_ends_it(
        self, new: Scene
    ) -> None:
        new.carry_out(Promotion(to=Color.GREEN))  # makes .tierctl
        with pytest.raises(ChangeUnfinished, match="switched, not yet durable") as caught:
            new.fail(Promotion(), "sync", new.layout.infrastructure, errno.EIO)
        assert "run the command again" in caught.value.hint
        assert (42, [], True) == (new.served, new.events, new.is_noted)
        new.carry_out(Promotion())
        assert (42, 1, False) == (new.served, len(new.events), new.is_noted)

    def test_a_note_that_cannot_be_removed_is_a_warning(self, new: Scene) -> None:
        heard = new.fail(Promotion(), "remove", new.layout.intent, errno.EIO)
        assert 42 == heard.outcome.after.served.deployment  # type: ignore[union-attr]
        (warning,) = heard.warnings
        assert "The next change removes it" in warning

    @pytest.mark.parametrize("request_", [Promotion(), Rollback(to=42)])
    def test_what_cannot_be_read_is_told_with_the_path(self, new: Scene, request_: Request) -> None:
        path = new.layout.within("staging")
        with pytest.raises(ChangeFailed, match="staging"):
            new.fail(request_, "read_link", path, errno.EIO)

    def test_who_may_not_write_is_told_before_anything_is_made(self, plain: Scene) -> None:
        closed = plain._replace(fs=Closed(plain.fs, Fault(0)))
        for attempt in (closed.preview, closed.carry_out):
            with pytest.raises(NotWritable):
                attempt(Promotion())
        assert not exists(plain.fs, plain.layout.control)


class Closed(FaultyFileSystem):
    """A filesystem on which the caller may not write."""

    def is_writable(self, path: str) -> bool:
        return False
