"""Events as documents: what is written is read again, and nothing else is taken for one."""

import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samples import EVENTS, PLAIN, STATES, event
from tierctl.journal.events import (
    Event,
    EventKind,
    MalformedEvent,
    from_document,
    new_event,
    state_from_document,
    state_to_document,
    to_document,
)
from tierctl.rotation.state import Content, State, promoted
from tierctl.rotation.trail import Past
from tierctl.target.users import Author

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def document() -> dict[str, Any]:
    return to_document(event(number=1))


@given(EVENTS)
def test_an_event_is_read_as_it_was_written(given_event: Event) -> None:
    text = json.dumps(to_document(given_event))
    assert "\n" not in text
    assert given_event == from_document(json.loads(text))


@given(STATES)
def test_a_state_is_read_as_it_was_written(state: State) -> None:
    assert state == state_from_document(json.loads(json.dumps(state_to_document(state))))


@given(JSON)
def test_no_document_is_worse_than_malformed(value: Any) -> None:
    with pytest.raises(MalformedEvent):
        from_document(value)


@given(st.sampled_from(sorted(document())), JSON | st.lists(JSON, min_size=1, max_size=3))
def test_no_field_makes_a_document_worse_than_malformed(field: str, value: Any) -> None:
    changed = document() | {field: value}
    with suppress(MalformedEvent):
        from_document(changed)


@given(st.sampled_from(["before", "after"]), st.sampled_from(sorted(document()["after"])), JSON)
def test_no_part_of_a_state_makes_a_document_worse_than_malformed(
    which: str, field: str, value: Any
) -> None:
    changed = document()
    changed[which][field] = value
    with suppress(MalformedEvent):
        from_document(changed)


@pytest.mark.parametrize("directory", [None, 1, [], {}, True])
@pytest.mark.parametrize("place", ["blue", "green", "trail"])
def test_a_content_is_text(directory: object, place: str) -> None:
    changed = document()
    if place == "trail":
        changed["trail"] = [directory]
    else:
        changed["after"][place] = directory
    with pytest.raises(MalformedEvent):
        from_document(changed)


@pytest.mark.parametrize("number", ["Infinity", "1e400", "1.5", '"2"', "true", "0", "-1"])
def test_what_was_rolled_back_is_a_deployment_s_number(number: str) -> None:
    changed = json.loads(json.dumps(document()).replace("[]", f"[{number}]"))
    assert [] != changed["rolled_back"]
    with pytest.raises(MalformedEvent):
        from_document(changed)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("trail", {"blue": 1}),
        ("trail", {}),
        ("trail", ""),
        ("rolled_back", "12"),
        ("rolled_back", {"1": 1}),
        ("rolled_back", {}),
    ],
)
def test_what_should_be_a_list_is_one(field: str, value: object) -> None:
    with pytest.raises(MalformedEvent):
        from_document(document() | {field: value})


@pytest.mark.parametrize("field", sorted(document().keys() - {"built"}))  # older ones lack it
def test_a_document_without_one_of_its_fields_is_malformed(field: str) -> None:
    changed = document()
    del changed[field]
    with pytest.raises(MalformedEvent):
        from_document(changed)


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_a_document_of_another_schema_is_malformed(schema: object) -> None:
    with pytest.raises(MalformedEvent, match="schema"):
        from_document(document() | {"schema": schema})


@pytest.mark.parametrize("field", ["id", "time", "user", "host", "reason"])
@pytest.mark.parametrize("value", [None, 1, ["text"], {}])
def test_what_should_be_text_is_text(field: str, value: object) -> None:
    with pytest.raises(MalformedEvent):
        from_document(document() | {field: value})


def test_fields_of_a_later_version_are_passed_over() -> None:
    assert event(number=1) == from_document(document() | {"later": True})


OUTSIDE = [
    "/etc",
    "../elsewhere",
    "deployments/../../elsewhere",
    "deployments/007",
    "deployments/x",
    "deployments/",
    "deployments/1/",
    "deployments/1/etc",
    "deployments/\u0663",
    "deployments/1_0",
    " deployments/1",
    "production",
    "Blue",
    "",
]


@pytest.mark.parametrize("directory", OUTSIDE)
@pytest.mark.parametrize("place", ["blue", "green", "trail"])
def test_a_directory_outside_the_infrastructure_is_no_content(directory: str, place: str) -> None:
    """An intent moves links: it cannot make them point anywhere else."""
    changed = document()
    if place == "trail":
        changed["trail"] = [directory]
    else:
        changed["after"][place] = directory
    with pytest.raises(MalformedEvent):
        from_document(changed)


@pytest.mark.parametrize(
    "directory", ["deployments/0", "deployments/-5", "deployments/12345678901234"]
)
def test_a_number_that_no_deployment_has_is_no_content(directory: str) -> None:
    changed = document()
    changed["after"]["blue"] = directory
    with pytest.raises(MalformedEvent):
        from_document(changed)


@pytest.mark.parametrize(("color", "other"), [("blue", "green"), ("green", "blue")])
def test_a_color_is_not_the_other_color_s_directory(color: str, other: str) -> None:
    changed = document()
    changed["after"][color] = other
    with pytest.raises(MalformedEvent):
        from_document(changed)


class TestNewEvents:
    def test_their_ids_differ(self) -> None:
        assert 20 == len({an_event_of_now().id for _ in range(20)})

    def test_their_ids_begin_with_the_time(self) -> None:
        made = an_event_of_now()
        assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", made.id)
        assert re.sub("[^0-9]", "", made.time) == made.id[:15].replace("-", "")

    def test_their_time_is_utc(self) -> None:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", an_event_of_now().time)


def an_event_of_now() -> Event:
    author = Author("ada", "lab", "why")
    return new_event(EventKind.PROMOTION, author, PLAIN, promoted(PLAIN), Past())


class TestMoves:
    def test_a_promotion_moves_both_tiers_and_no_color(self) -> None:
        made = an_event_of_now()
        assert [True, True, False, False] == list(
            map(made.moves, ["production", "staging", "blue", "green"])
        )

    def test_a_deploy_behind_staging_moves_staging_and_its_color(self) -> None:
        after = PLAIN.with_content(PLAIN.staging, Content.of_deployment(1))
        made = an_event_of_now()._replace(after=after)
        assert [False, True, True, False] == list(
            map(made.moves, ["production", "staging", "blue", "green"])
        )

    def test_a_bootstrap_moves_everything(self) -> None:
        made = an_event_of_now()._replace(kind=EventKind.BOOTSTRAP, before=None)
        assert all(map(made.moves, ["production", "staging", "blue", "green"]))


@pytest.mark.parametrize("kind", EventKind)
def test_a_kind_is_shown_by_its_name(kind: EventKind) -> None:
    assert kind.value == str(kind)
