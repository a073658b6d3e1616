"""What is not valid is refused, whatever is asked for."""

import pytest

from changed import Scene, inodes
from tierctl.change.requests import Promotion, Request, Rollback
from tierctl.errors import (
    Guarded,
    InvalidLink,
    SameColor,
    TierctlError,
)


class TestLinksMovedByHand:
    def test_forward_is_a_promotion_and_can_be_rolled_back(self, moved: Scene) -> None:
        moved.deploy(43)
        moved.point("production", "green")
        moved.point("staging", "blue")
        moved.carry_out(Rollback())
        assert 42 == moved.served

    def test_back_is_a_rollback_and_leads_further_back(self, travelled: Scene) -> None:
        color = travelled.state.staging.value
        travelled.point(color, "deployments/43")
        travelled.point("staging", travelled.state.production.value)  # type: ignore[union-attr]
        travelled.point("production", color)
        assert 43 == travelled.served
        travelled.carry_out(Rollback())
        assert 42 == travelled.served

    def test_what_was_taken_back_by_hand_is_guarded(self, moved: Scene) -> None:
        moved.point("production", "green")
        moved.point("staging", "blue")
        with pytest.raises(Guarded, match="rolled back"):
            moved.carry_out(Promotion())


BROKEN: dict[str, tuple[str, str | None, type[TierctlError]]] = {
    "same color": ("production", "blue", SameColor),
    "production dangling": ("production", "nowhere", InvalidLink),
    "production a directory": ("production", None, InvalidLink),
    "staging dangling": ("staging", "nowhere", InvalidLink),
    "staging a directory": ("staging", None, InvalidLink),
    "staging outside": ("staging", "/", InvalidLink),
    "staging a loop": ("staging", "staging", InvalidLink),
    "color dangling": ("blue", "deployments/7", InvalidLink),
}


@pytest.mark.parametrize("request_", [Promotion(force=True), Rollback(to=42)])
@pytest.mark.parametrize("why", BROKEN)
def test_what_is_not_valid_leaves_everything_as_it_was(
    new: Scene, why: str, request_: Request
) -> None:
    name, link, error = BROKEN[why]
    path = new.layout.within(name)
    new.fs.remove(path)
    if link is None:
        new.fs.make_directory(path, 0o755)
    else:
        new.fs.make_link(path, link)
    before = inodes(new)
    for attempt in (new.preview, new.carry_out):
        with pytest.raises(error):
            attempt(request_)
    assert before == inodes(new)
    assert ([], False) == (new.events, new.is_noted)
