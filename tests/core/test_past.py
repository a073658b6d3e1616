"""The way back, and what not to go forward to."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierctl.rotation.state import Content
from tierctl.rotation.trail import LONGEST_TRAIL, Past

BLUE, GREEN = Content("blue"), Content("green")


def build(number: int) -> Content:
    return Content.of_deployment(number)


def promoted_through(*contents: Content | None) -> Past:
    """Return the past after production served these one after the other."""
    past = Past()
    for left, reached in pairwise(contents):
        assert reached is not None
        past = past.after_promotion(left, reached)
    return past


class TestRollback:
    def test_the_way_back_is_to_what_was_served_before(self) -> None:
        assert build(1) == promoted_through(build(1), build(2)).way_back

    def test_without_a_past_there_is_no_way_back(self) -> None:
        assert Past().way_back is None

    def test_the_first_promotion_leaves_nothing_to_go_back_to(self) -> None:
        assert promoted_through(None, build(1)).way_back is None

    def test_a_rollback_leads_further_back_and_not_forward(self) -> None:
        past = promoted_through(build(1), build(2), build(3))
        past = past.after_rollback(build(3), build(2))
        assert build(1) == past.way_back
        assert past.after_rollback(build(2), build(1)).way_back is None

    @given(st.lists(st.integers(1, 30).map(build), min_size=1, max_size=30, unique=True))
    def test_repeated_rollbacks_visit_all_that_was_served_newest_first(
        self, served: list[Content]
    ) -> None:
        past, now = promoted_through(*served), served[-1]
        visited = []
        while (back := past.way_back) is not None:
            past, now = past.after_rollback(now, back), back
            visited.append(now)
        assert served[-2::-1] == visited

    def test_what_was_rolled_back_is_marked(self) -> None:
        past = promoted_through(build(1), build(2)).after_rollback(build(2), build(1))
        assert (2,) == past.rolled_back

    def test_a_rollback_over_several_marks_them_all_oldest_first(self) -> None:
        past = promoted_through(build(1), build(2), build(3)).after_rollback(build(3), build(1))
        assert (2, 3) == past.rolled_back
        assert past.way_back is None

    def test_a_rollback_to_an_earlier_one_that_the_trail_does_not_hold_leaves_the_trail(
        self,
    ) -> None:
        past = promoted_through(build(3), build(5)).after_rollback(build(5), build(4))
        assert Past((build(3),), (5,)) == past

    def test_a_rollback_to_a_later_one_leads_back_to_what_was_left(self) -> None:
        past = promoted_through(build(1), build(2)).after_rollback(build(2), build(9))
        assert Past((build(2), build(1))) == past

    def test_who_thinks_better_of_a_rollback_can_roll_back_again(self) -> None:
        past = promoted_through(build(1), build(2), build(3)).after_rollback(build(3), build(2))
        again = past.after_rollback(build(2), build(3))
        assert build(2) == again.way_back
        assert () == again.rolled_back

    def test_a_deployment_that_production_returns_to_is_no_longer_marked(self) -> None:
        past = promoted_through(build(1), build(2)).after_rollback(build(2), build(1))
        assert () == past.after_promotion(build(1), build(2)).rolled_back
        assert 2 not in past.after_rollback(build(1), build(2)).rolled_back

    def test_a_promotion_after_a_rollback_leads_back_to_what_was_left(self) -> None:
        past = promoted_through(build(1), build(2)).after_rollback(build(2), build(1))
        past = past.after_promotion(build(1), build(3))
        assert (build(1),) == past.trail
        assert (2,) == past.rolled_back


class TestPlainDirectories:
    def test_they_go_back_and_forth(self) -> None:
        past = Past()
        for left, reached in [(GREEN, BLUE), (BLUE, GREEN)] * 3:
            past = past.after_promotion(left, reached)
            assert Past((left,), ()) == past

    def test_they_are_never_marked(self) -> None:
        assert () == promoted_through(GREEN, BLUE).after_rollback(BLUE, GREEN).rolled_back

    def test_a_rollback_between_them_leads_back_once(self) -> None:
        past = promoted_through(GREEN, BLUE).after_rollback(BLUE, GREEN)
        assert past.way_back is None


class TestReconciled:
    PAST = promoted_through(build(1), build(2), build(3))

    @pytest.mark.parametrize("now", [build(3), None])
    def test_what_is_as_recorded_stays_as_it_is(self, now: Content | None) -> None:
        assert self.PAST == self.PAST.reconciled(now, now)

    def test_production_moved_on_by_hand_is_a_promotion(self) -> None:
        assert self.PAST.after_promotion(build(3), build(4)) == self.PAST.reconciled(
            build(3), build(4)
        )

    @pytest.mark.parametrize("back", [1, 2])
    def test_production_moved_back_by_hand_is_a_rollback(self, back: int) -> None:
        assert self.PAST.after_rollback(build(3), build(back)) == self.PAST.reconciled(
            build(3), build(back)
        )

    def test_production_taken_away_by_hand_can_be_gone_back_to(self) -> None:
        assert (build(3), build(2), build(1)) == self.PAST.reconciled(build(3), None).trail

    def test_production_made_by_hand_adds_nothing(self) -> None:
        assert Past() == Past().reconciled(None, build(1))

    def test_production_that_was_taken_away_and_made_again_is_on_no_trail(self) -> None:
        past = self.PAST.reconciled(build(3), None)
        assert (build(2), build(1)) == past.reconciled(None, build(3)).trail


class TestLimits:
    def test_the_trail_holds_the_newest_contents_and_no_more(self) -> None:
        past = promoted_through(*map(build, range(1, LONGEST_TRAIL + 12)))
        assert LONGEST_TRAIL == len(past.trail)
        assert build(LONGEST_TRAIL + 10) == past.way_back
        assert build(11) == past.trail[-1]

    def test_taking_production_away_does_not_make_it_longer(self) -> None:
        past = promoted_through(*map(build, range(1, LONGEST_TRAIL + 2)))
        assert LONGEST_TRAIL == len(past.trail)
        assert LONGEST_TRAIL == len(past.reconciled(build(LONGEST_TRAIL + 1), None).trail)


CONTENTS = st.sampled_from([BLUE, GREEN, *map(build, range(1, 8))])
MOVES = st.tuples(st.sampled_from(["promotion", "back", "rollback to", "by hand"]), CONTENTS)


@given(CONTENTS, st.lists(MOVES, max_size=30))
def test_whatever_happens_the_past_says_nothing_twice_and_nothing_of_the_present(
    served: Content, moves: list[tuple[str, Content]]
) -> None:
    """Production is on no trail and unmarked; contents and marks stand once; no plain marks."""
    past = Past()
    for kind, content in moves:
        reached = past.way_back if kind == "back" else content
        if reached is None or reached == served:
            continue
        match kind:
            case "promotion":
                past = past.after_promotion(served, reached)
            case "back" | "rollback to":
                past = past.after_rollback(served, reached)
            case _:
                past = past.reconciled(served, reached)
        served = reached
        assert served not in past.trail
        assert served.deployment not in past.rolled_back
        assert len(set(past.trail)) == len(past.trail) <= LONGEST_TRAIL
        assert len(set(past.rolled_back)) == len(past.rolled_back)


@given(st.lists(CONTENTS, min_size=2, max_size=10), CONTENTS)
def test_a_rollback_never_leads_to_what_it_left(served: list[Content], to: Content) -> None:
    past, now = promoted_through(*served), served[-1]
    gone_on = to not in past.trail and (to.deployment or 0) > (now.deployment or 0) > 0
    if to != now and not gone_on:
        assert now not in past.after_rollback(now, to).trail
