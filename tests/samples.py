"""Events and states to test with: single ones, and strategies for any."""

from hypothesis import strategies as st

from tierctl.journal.events import Built, Event, EventKind
from tierctl.rotation.state import Color, Content, State, promoted
from tierctl.rotation.trail import Past
from tierctl.target.users import Author

PLAIN = State(Color.GREEN, Color.BLUE, Content("blue"), Content("green"))


def event(number: int, reason: str = "", before: State = PLAIN) -> Event:
    """Return the number-th of a row of promotions."""
    return Event(
        id=f"20240101-{number:06}-abcdef",
        time="2024-01-01T00:00:00Z",
        kind=EventKind.PROMOTION,
        author=Author("ada", "lab", reason),
        before=before,
        after=promoted(before),
        past=Past().after_promotion(before.served, before.staged),
    )


# Text with everything that a command line can hold: undecodable bytes are lone surrogates.
ANY_TEXT = st.text(
    st.characters(exclude_categories=["Cs"])
    | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF, categories=["Cs"]),
    max_size=30,
)
DEPLOYMENTS = st.integers(1, 999_999).map(Content.of_deployment)
CONTENTS = DEPLOYMENTS | st.sampled_from(["blue", "green"]).map(Content)
STATES = st.builds(
    State,
    st.none() | st.sampled_from(Color),
    st.sampled_from(Color),
    DEPLOYMENTS | st.just(Content("blue")),
    DEPLOYMENTS | st.just(Content("green")),
    st.lists(
        st.tuples(st.sampled_from(["dev1", "test.x"]), st.none() | DEPLOYMENTS),
        max_size=2,
        unique_by=lambda item: item[0],
    ).map(tuple),
    st.none() | st.integers(1, 999_999),
)
EVENTS = st.builds(
    Event,
    id=ANY_TEXT,
    time=ANY_TEXT,
    kind=st.sampled_from(EventKind),
    author=st.builds(Author, ANY_TEXT, ANY_TEXT, ANY_TEXT),
    before=st.none() | STATES,
    after=STATES,
    past=st.builds(
        Past,
        st.lists(CONTENTS, max_size=5).map(tuple),
        st.lists(st.integers(1, 999_999), max_size=5).map(tuple),
    ),
    packages=st.none() | st.dictionaries(st.sampled_from(["added", "removed"]), st.integers(0, 9)),
    built=st.none() | st.builds(Built, st.integers(1, 999_999), ANY_TEXT),
)
