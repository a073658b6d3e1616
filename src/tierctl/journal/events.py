"""Events: who changed what, when and why; how they are written down and read again."""

from __future__ import annotations

import json
import os
import time
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

from tierctl.rotation.names import DEPLOYMENTS, is_deployment_number, is_private_name
from tierctl.rotation.state import COLORS, Color, Content, State
from tierctl.rotation.trail import Past
from tierctl.target.users import Author

SCHEMA = 1
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class EventKind(StrEnum):
    """What kind of change an event tells of."""

    BOOTSTRAP = "bootstrap"
    PROMOTION = "promotion"
    ROLLBACK = "rollback"
    DEPLOY = "deploy"


_KINDS = {kind.value: kind for kind in EventKind}


class Built(NamedTuple):
    """A deployment that was built for a change, and the sha256 of its manifest."""

    deployment: int
    manifest: str


class Event(NamedTuple):
    """One line of history.

    ``id`` begins with the time, to the second; ``time`` is UTC, ISO 8601.
    ``before`` is None for a bootstrap. ``past`` is how it stood after this event.
    ``packages`` says how many differ, by kind, where that is known. ``built`` is what was built
    for it, if anything was: another manifest in its place is noticed.
    """

    id: str
    time: str
    kind: EventKind
    author: Author
    before: State | None
    after: State
    past: Past
    packages: dict[str, int] | None = None
    built: Built | None = None

    @property
    def deployments(self) -> frozenset[int]:
        """The numbers of the deployments that were shown before or after it."""
        states = (self.after,) if self.before is None else (self.before, self.after)
        contents = [
            content
            for state in states
            for content in (state.blue, state.green, *(shown for _, shown in state.private))
        ]
        return frozenset(
            content.deployment
            for content in contents
            if content is not None and content.deployment is not None
        )

    def __hash__(self) -> int:
        return hash(self.id)

    def agrees_with(self, state: State) -> bool:
        """Say whether tiers and colors are where this event left them.

        Private tiers may come and go by hand; what was adopted may be removed.
        """
        return self.after._replace(private=(), adopted=None) == state._replace(
            private=(), adopted=None
        )

    def moves(self, tier: str) -> bool:
        """Say whether a tier showed something else after this event."""
        before = None if self.before is None else self.before.behind(tier)
        return before != self.after.behind(tier)


class MalformedEvent(ValueError):
    """A record that is no event."""


class NewerEvent(MalformedEvent):
    """A record of a later version, which may be a whole one; says by what one sees that."""


def new_event(
    kind: EventKind,
    author: Author,
    before: State | None,
    after: State,
    past: Past,
    packages: dict[str, int] | None = None,
    built: Built | None = None,
) -> Event:
    """Return an event that happens now, with an id of its own."""
    now = time.gmtime()
    return Event(
        id=time.strftime("%Y%m%d-%H%M%S-", now) + os.urandom(3).hex(),
        time=time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        kind=kind,
        author=author,
        before=before,
        after=after,
        past=past,
        packages=packages,
        built=built,
    )


@lru_cache(maxsize=1)  # it is written twice: into the intent, and into history
def to_line(event: Event) -> bytes:
    """Return the event as a line of JSON."""
    return _ENCODER.encode(to_document(event)).encode() + b"\n"


def to_document(event: Event) -> dict[str, Any]:
    """Return the event as JSON values."""
    return {
        "schema": SCHEMA,
        "id": event.id,
        "time": event.time,
        "kind": event.kind,
        "user": event.author.user,
        "host": event.author.host,
        "reason": event.author.reason,
        "before": None if event.before is None else state_to_document(event.before),
        "after": state_to_document(event.after),
        "trail": [content.directory for content in event.past.trail],
        "rolled_back": list(event.past.rolled_back),
        "packages": event.packages,
        "built": None if event.built is None else event.built._asdict(),
    }


def from_document(document: object) -> Event:
    """Return the event that JSON values tell of; raise ``NewerEvent`` or ``MalformedEvent``."""
    try:
        return _event(document)
    except NewerEvent:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise MalformedEvent(f"no event of schema {SCHEMA}: {error}") from error


def _event(document: Any) -> Event:  # noqa: ANN401 (whatever a file holds; checked here)
    _require_known(document["schema"], document.get("kind"))
    texts = [document[key] for key in ("id", "time", "user", "host", "reason")]
    if {*map(type, texts)} != {str}:
        raise ValueError("a field that should be text is not")
    identity, when, user, host, reason = texts
    before = document["before"]
    return Event(
        id=identity,
        time=when,
        kind=_KINDS[document["kind"]],
        author=Author(user, host, reason),
        before=None if before is None else state_from_document(before),
        after=state_from_document(document["after"]),
        past=Past(
            tuple(_content(each, *COLORS) for each in _list(document["trail"])),
            tuple(map(_number, _list(document["rolled_back"]))),
        ),
        packages=_counts(document["packages"]),
        built=_built(document.get("built")),
    )


def _require_known(schema: Any, kind: Any) -> None:  # noqa: ANN401 (as above)
    """Raise ``NewerEvent`` for what this version does not know yet; ``ValueError`` for rubbish."""
    if type(schema) is int and schema > SCHEMA:
        raise NewerEvent(f"schema {schema}")
    if type(schema) is not int or schema != SCHEMA:
        raise ValueError(f"schema {schema!r}")
    if isinstance(kind, str) and kind not in _KINDS:
        raise NewerEvent(f"kind {kind!r}")


def state_to_document(state: State) -> dict[str, Any]:
    """Return a state as JSON values; private tiers and an adoption only where there are any."""
    document: dict[str, Any] = {
        "production": state.production,
        "staging": state.staging,
        "blue": state.blue.directory,
        "green": state.green.directory,
    }
    if state.private:
        document["private"] = {
            name: None if content is None else content.directory for name, content in state.private
        }
    if state.adopted is not None:
        document["adopted"] = state.adopted
    return document


def state_from_document(document: Any) -> State:  # noqa: ANN401 (as above)
    """Return the state that JSON values tell of; raises KeyError, TypeError or ValueError."""
    production, adopted = document["production"], document.get("adopted")
    return State(
        None if production is None else COLORS[production],
        COLORS[document["staging"]],
        _content(document["blue"], Color.BLUE),
        _content(document["green"], Color.GREEN),
        tuple(map(_private, document.get("private", {}).items())),
        None if adopted is None else _number(adopted),
    )


def _private(item: tuple[str, Any]) -> tuple[str, Content | None]:
    """Return a private tier and what it shows: always a deployment."""
    name, directory = item
    if not is_private_name(name):
        raise ValueError(f"{name!r} is no private tier")
    return name, None if directory is None else _content(directory)


def _content(directory: Any, *colors: str) -> Content:  # noqa: ANN401 (as above)
    """Return a deployment, or one of the colors as a plain directory; all else is no content."""
    if not isinstance(directory, str):
        raise TypeError(f"{directory!r} is no content")
    if directory in colors:
        return Content(directory)
    head, _, number = directory.partition("/")
    if head != DEPLOYMENTS or not is_deployment_number(number):
        raise ValueError(f"{directory!r} is no content")
    return Content(directory)


def _counts(value: Any) -> dict[str, int] | None:  # noqa: ANN401 (as above)
    if value is None:
        return None
    if not all(isinstance(kind, str) and type(count) is int for kind, count in value.items()):
        raise TypeError(f"{value!r} does not count packages")
    return dict(value)


def _built(value: Any) -> Built | None:  # noqa: ANN401 (as above)
    if value is None:
        return None
    if not isinstance(value["manifest"], str):
        raise TypeError(f"{value!r} tells of no manifest")
    return Built(_number(value["deployment"]), value["manifest"])


def _number(value: Any) -> int:  # noqa: ANN401 (as above)
    if type(value) is not int or not is_deployment_number(str(value)):
        raise ValueError(f"{value!r} is no deployment's number")
    return value


def _list(value: Any) -> list[Any]:  # noqa: ANN401 (as above)
    if not isinstance(value, list):
        raise TypeError(f"{value!r} is no list")
    return value
