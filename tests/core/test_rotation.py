"""States of an infrastructure, and the steps from one to another."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierctl.rotation.plan import (
    Adopt,
    Exchange,
    Plan,
    PutBack,
    Replace,
    SetAside,
    lies_between,
    plan,
    states_along,
)
from tierctl.rotation.state import Color, Content, State, deployed, promoted, rolled_back

BLUE, GREEN = Color.BLUE, Color.GREEN
NUMBERS = st.integers(1, 5)
COLORS = st.sampled_from(Color)
DEPLOYMENTS = st.builds(Content.of_deployment, NUMBERS)


def contents(color: Color) -> st.SearchStrategy[Content]:
    """What can be behind a color: few deployments, so that some are shared."""
    return st.just(Content(color.value)) | DEPLOYMENTS


DEV = st.none() | DEPLOYMENTS
# So no color shows it, and only one of two changes gives it.
SPARE = 9

# production and staging never on one color, production perhaps missing
STATES = st.builds(
    lambda production, staging, blue, green, dev: State(
        staging.opposite if production else None, staging, blue, green, (("dev1", dev),)
    ),
    st.booleans(),
    COLORS,
    contents(BLUE),
    contents(GREEN),
    DEV,
)
SERVING = STATES.filter(lambda state: state.production is not None)
FIRST = STATES.filter(lambda state: state.production is None)
CHANGES = st.one_of(
    STATES.map(lambda state: (state, promoted(state))),
    st.builds(
        lambda state, content: (state, rolled_back(state, content)),
        SERVING.filter(lambda state: state.staged.deployment is not None),
        DEPLOYMENTS,
    ),
    SERVING.map(lambda state: (state, rolled_back(state, state.staged))),
    st.builds(
        lambda state, staging, content: (
            state,
            deployed(state, state.staging.value if staging else "dev1", content, spare=SPARE),
        ),
        STATES,
        st.booleans(),
        DEPLOYMENTS,
    ),
)


def can_follow(before: State, after: State) -> bool:
    """Say whether any changes lead from one state to another, none of which adopts a color."""
    kept = before.production is None or after.production is not None
    kept = kept and (before.behind("dev1") is None or after.behind("dev1") is not None)
    plain = [
        [state.content(color).deployment is None for color in Color] for state in (before, after)
    ]
    return kept and plain[0] == plain[1]


# any two states that can follow each other, a single change or not
PAIRS = CHANGES | st.tuples(STATES, STATES).filter(lambda pair: can_follow(*pair))

PLAIN = State(GREEN, BLUE, Content("blue"), Content("green"))
BUILT = State(GREEN, BLUE, Content.of_deployment(42), Content.of_deployment(41))


def kept_as(state: State) -> Content | None:
    """Return what a plain directory has become."""
    return None if state.adopted is None else Content.of_deployment(state.adopted)


def end(before: State, steps: Plan) -> State:
    *_, last = states_along(before, steps)
    return last


class TestColor:
    @pytest.mark.parametrize("color", Color)
    def test_the_opposite_is_the_other_one_and_back(self, color: Color) -> None:
        assert color.opposite is not color
        assert color is color.opposite.opposite

    def test_a_color_is_shown_by_its_name(self) -> None:
        assert ["blue", "green"] == [str(color) for color in Color]


class TestContent:
    @given(st.integers(1, 999_999))
    def test_a_deployment_knows_its_number(self, number: int) -> None:
        assert number == Content.of_deployment(number).deployment

    def test_a_deployment_lives_among_the_deployments(self) -> None:
        assert "deployments/41" == Content.of_deployment(41).directory

    def test_a_plain_directory_has_no_number(self) -> None:
        assert Content("blue").deployment is None

    def test_it_is_shown_by_its_number_or_its_name(self) -> None:
        assert "deployment 41" == str(Content.of_deployment(41))
        assert "plain directory blue" == str(Content("blue"))


class TestState:
    def test_what_is_served_is_behind_production_s_color(self) -> None:
        assert Content.of_deployment(41) == BUILT.served
        assert Content.of_deployment(42) == BUILT.staged

    def test_nothing_is_served_before_the_first_promotion(self) -> None:
        assert BUILT._replace(production=None).served is None

    @given(STATES, COLORS, DEPLOYMENTS)
    def test_another_content_behind_a_color_is_all_that_differs(
        self, state: State, color: Color, content: Content
    ) -> None:
        changed = state.with_content(color, content)
        assert content == changed.content(color)
        assert state.content(color.opposite) == changed.content(color.opposite)
        assert (state.production, state.staging) == (changed.production, changed.staging)

    @given(STATES)
    def test_each_link_shows_the_content_behind_it(self, state: State) -> None:
        assert (state.served, state.staged, state.blue, state.green) == tuple(
            state.behind(name) for name in ("production", "staging", "blue", "green")
        )

    def test_it_is_shown_in_one_line(self) -> None:
        assert (
            "production -> missing, staging -> blue, blue: deployment 42, "
            "green: plain directory green"
        ) == str(State(None, BLUE, Content.of_deployment(42), Content("green")))
        assert str(PLAIN).startswith("production -> green, staging -> blue")


class TestChanges:
    @given(STATES)
    def test_a_promotion_serves_what_was_staged(self, state: State) -> None:
        after = promoted(state)
        assert state.staged == after.served
        assert (state.staging, state.staging.opposite) == (after.production, after.staging)
        assert (state.blue, state.green) == (after.blue, after.green)

    @given(SERVING)
    def test_two_promotions_end_where_they_began(self, state: State) -> None:
        assert state == promoted(promoted(state))

    @given(SERVING, DEPLOYMENTS)
    def test_a_rollback_serves_what_it_goes_to_and_stages_what_was_served(
        self, state: State, content: Content
    ) -> None:
        after = rolled_back(state, content)
        assert (content, state.served) == (after.served, after.staged)

    @given(SERVING)
    def test_a_rollback_to_what_is_staged_moves_no_color(self, state: State) -> None:
        assert promoted(state) == rolled_back(state, state.staged)

    @given(SERVING, DEPLOYMENTS)
    def test_a_deploy_behind_staging_leaves_production_alone(
        self, state: State, content: Content
    ) -> None:
        after = deployed(state, state.staging, content)
        assert (state.served, content) == (after.served, after.staged)


class TestPlan:
    @given(PAIRS, st.booleans())
    def test_it_ends_in_the_state_that_was_wanted(
        self, pair: tuple[State, State], exchange: bool
    ) -> None:
        before, after = pair
        assert after == end(before, plan(before, after, exchange=exchange))

    @given(STATES, st.booleans())
    def test_from_a_state_to_itself_there_is_nothing_to_do(
        self, state: State, exchange: bool
    ) -> None:
        assert () == plan(state, state, exchange=exchange)

    @given(PAIRS, st.booleans(), st.booleans())
    def test_from_wherever_it_was_interrupted_it_ends_in_the_state_that_was_wanted(
        self, pair: tuple[State, State], exchange: bool, exchange_afterwards: bool
    ) -> None:
        before, after = pair
        for now in states_along(before, plan(before, after, exchange=exchange)):
            assert after == end(now, plan(now, after, exchange=exchange_afterwards))

    @given(PAIRS, st.booleans())
    def test_from_wherever_it_failed_the_way_back_ends_where_it_began(
        self, pair: tuple[State, State], exchange: bool
    ) -> None:
        before, after = pair
        for now in states_along(before, plan(before, after, exchange=exchange)):
            if now != after and can_follow(now, before._replace(adopted=now.adopted)):
                assert before == end(now, plan(now, before, exchange=exchange))

    @given(PAIRS, st.booleans())
    def test_production_is_never_missing_if_it_was_there(
        self, pair: tuple[State, State], exchange: bool
    ) -> None:
        before, after = pair
        for now in states_along(before, plan(before, after, exchange=exchange)):
            assert before.production is None or now.production is not None

    @given(PAIRS)
    def test_with_exchange_both_tiers_never_show_one_color(self, pair: tuple[State, State]) -> None:
        before, after = pair
        for now in states_along(before, plan(before, after, exchange=True)):
            assert now.production is not now.staging

    @given(FIRST, st.booleans())
    def test_the_first_promotion_never_shows_one_color_in_both(
        self, before: State, exchange: bool
    ) -> None:
        for now in states_along(before, plan(before, promoted(before), exchange=exchange)):
            assert now.production is not now.staging

    @given(CHANGES, st.booleans())
    def test_a_reader_of_production_sees_the_old_or_the_new_content(
        self, change: tuple[State, State], exchange: bool
    ) -> None:
        before, after = change
        for now in states_along(before, plan(before, after, exchange=exchange)):
            assert now.served in (before.served, after.served)

    @given(CHANGES, st.booleans())
    def test_a_color_shows_the_old_or_the_new_content(
        self, change: tuple[State, State], exchange: bool
    ) -> None:
        before, after = change
        for now in states_along(before, plan(before, after, exchange=exchange)):
            for color in Color:
                seen = (before.content(color), after.content(color), kept_as(after))
                assert now.content(color) in seen

    @given(SERVING)
    def test_with_exchange_a_promotion_is_one_step(self, state: State) -> None:
        assert (Exchange("production", "staging"),) == plan(state, promoted(state), exchange=True)

    def test_without_exchange_production_moves_first(self) -> None:
        assert (Replace("production", "blue"), Replace("staging", "green")) == plan(
            BUILT, promoted(BUILT), exchange=False
        )

    @pytest.mark.parametrize("exchange", [True, False])
    def test_at_the_first_promotion_staging_moves_first(self, exchange: bool) -> None:
        before = BUILT._replace(production=None)
        assert (Replace("staging", "green"), Replace("production", "blue")) == plan(
            before, promoted(before), exchange=exchange
        )

    def test_colors_are_ready_before_production_moves_to_them(self) -> None:
        after = rolled_back(BUILT, Content.of_deployment(7))
        assert (Replace("blue", "deployments/7"), Exchange("production", "staging")) == plan(
            BUILT, after, exchange=True
        )

    def test_a_deploy_moves_its_color_and_nothing_else(self) -> None:
        after = deployed(BUILT, "blue", Content.of_deployment(43))
        assert (Replace("blue", "deployments/43"),) == plan(BUILT, after, exchange=True)

    def test_a_private_tier_moves_alone(self) -> None:
        before = BUILT._replace(private=(("dev1", None),))
        after = deployed(before, "dev1", Content.of_deployment(43))
        assert (Replace("dev1", "deployments/43"),) == plan(before, after, exchange=True)

    def test_a_plain_directory_is_adopted_in_one_step_where_names_can_be_exchanged(self) -> None:
        after = deployed(PLAIN, "blue", Content.of_deployment(2), spare=1)
        assert (Adopt("blue", 1, "deployments/2"),) == plan(PLAIN, after, exchange=True)

    def test_a_plain_directory_is_set_aside_where_they_cannot(self) -> None:
        after = deployed(PLAIN, "blue", Content.of_deployment(2), spare=1)
        steps = plan(PLAIN, after, exchange=False)
        assert (SetAside("blue", 1), Replace("blue", "deployments/2")) == steps
        _, between, _ = states_along(PLAIN, steps)
        assert (PutBack("blue", 1),) == plan(between, PLAIN, exchange=False)

    def test_a_plain_directory_without_a_number_to_go_to_stays(self) -> None:
        after = deployed(PLAIN, "blue", Content.of_deployment(2))
        with pytest.raises(ValueError, match="no number"):
            plan(PLAIN, after, exchange=True)

    def test_nothing_makes_a_deployment_a_plain_directory(self) -> None:
        with pytest.raises(ValueError, match="plain directory"):
            plan(BUILT, PLAIN, exchange=True)

    def test_two_links_on_one_color_are_not_exchanged_but_pointed(self) -> None:
        between = BUILT._replace(staging=GREEN)
        assert (Replace("production", "blue"),) == plan(between, promoted(BUILT), exchange=True)

    @given(SERVING, FIRST, st.booleans())
    def test_no_plan_takes_production_away(
        self, before: State, after: State, exchange: bool
    ) -> None:
        with pytest.raises(ValueError, match="production"):
            plan(before, after, exchange=exchange)


class TestLiesBetween:
    @given(PAIRS, STATES)
    def test_it_is_true_of_the_states_along_a_plan_and_of_no_other(
        self, pair: tuple[State, State], stranger: State
    ) -> None:
        before, after = pair
        along = {
            state
            for exchange in (True, False)
            for state in states_along(before, plan(before, after, exchange=exchange))
        }
        assert all(lies_between(state, before, after) for state in along)
        assert (stranger in along) == lies_between(stranger, before, after)

    def test_both_ends_lie_between(self) -> None:
        after = promoted(BUILT)
        assert lies_between(BUILT, BUILT, after)
        assert lies_between(after, BUILT, after)

    def test_both_on_the_new_color_lies_between_for_filesystems_without_exchange(self) -> None:
        assert lies_between(BUILT._replace(production=BLUE), BUILT, promoted(BUILT))

    @pytest.mark.parametrize(
        "stranger",
        [
            BUILT._replace(staging=GREEN),  # staging moved first: no plan does that
            BUILT._replace(blue=Content.of_deployment(99)),
            BUILT._replace(production=None),
        ],
    )
    def test_what_no_plan_passes_through_does_not(self, stranger: State) -> None:
        assert not lies_between(stranger, BUILT, promoted(BUILT))


def test_steps_of_different_kinds_are_never_the_same() -> None:
    steps = [
        Exchange("production", "green"),
        Replace("production", "green"),
        Adopt("blue", 1, "green"),
        SetAside("blue", 1),
        PutBack("blue", 1),
    ]
    assert len(steps) == len(set(steps))
    assert Exchange("production", "green") != Replace("production", "green")


def test_steps_are_shown_as_a_person_would_say_them() -> None:
    assert [
        "point blue to deployments/7",
        "exchange production and staging",
    ] == [
        str(step)
        for step in plan(BUILT, rolled_back(BUILT, Content.of_deployment(7)), exchange=True)
    ]
    adopting = deployed(PLAIN, "blue", Content.of_deployment(2), spare=1)
    assert [
        "keep blue as deployments/1, point blue to deployments/2",
        "keep blue as deployments/1",
        "point blue to deployments/2",
    ] == [
        str(step) for exchange in (True, False) for step in plan(PLAIN, adopting, exchange=exchange)
    ]
    assert "put deployments/1 back as blue" == str(PutBack("blue", 1))


@given(PAIRS, st.booleans())
def test_every_step_of_a_plan_changes_something(pair: tuple[State, State], exchange: bool) -> None:
    before, after = pair
    states = list(states_along(before, plan(before, after, exchange=exchange)))
    assert len(states) == len(set(states))
