"""What is there, in the words of the model: how a target begins, and what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping

from model.expected import Content, Line, Model, Picture, Shown, Way
from tierctl.deploy import numbering
from tierctl.fs.protocol import FileSystem, Kind, exists, read
from tierctl.journal import history
from tierctl.rotation.names import BLUE, CONTROL, DEPLOYMENTS, GREEN, LINKS, PRODUCTION, STAGING
from tierctl.rotation.state import Content as Directory
from tierctl.rotation.state import State
from tierctl.target import record
from tierctl.target.paths import Layout, temporary
from tierctl.target.target import Target

# All that is below a target, by path.
Everything = dict[str, tuple[object, ...]]

# How a target begins: bootstrapped, or made by hand with this.
BEGINNINGS: Mapping[str, Mapping[str, object] | None] = {
    "bootstrapped": None,
    "by hand": {},
    "without production": {"production": None},
    "deployments": {"green": 1, "blue": 2, "deployments": (3,)},
    "deployments without production": {"production": None, "green": 1, "blue": 2},
}


# What an infrastructure holds besides its tiers.
BESIDES = (CONTROL, DEPLOYMENTS)


def first_model(beginning: str) -> Model:
    """Return the model of a target that has just been made."""
    links = BEGINNINGS[beginning]
    if links is None:
        shows: Shown = {PRODUCTION: GREEN, STAGING: BLUE, BLUE: 1, GREEN: 1}
        history = (Line("bootstrap", shows),)
        return Model(shows, {1: None}, history, highest=1, empty=frozenset({1}))
    shows = {STAGING: BLUE, BLUE: links.get(BLUE, BLUE), GREEN: links.get(GREEN, GREEN)}
    if "production" not in links:
        shows[PRODUCTION] = GREEN
    numbers = [shown for shown in shows.values() if isinstance(shown, int)]
    built = [*numbers, *links.get("deployments", ())]
    return Model(shows, dict.fromkeys(built), highest=max(built, default=0))


def picture(fs: FileSystem, layout: Layout) -> Picture:
    """Return what is there, read from the links themselves."""
    events = list(history.newest_first(Target(fs, layout)))[::-1]
    assert len({event.id for event in events}) == len(events)
    names = fs.names(layout.infrastructure)
    shown = {name: shown_by(fs, layout, name) for name in names if name not in BESIDES}
    numbers = fs.names(layout.deployments) if exists(fs, layout.deployments) else []
    return Picture(
        shown,
        frozenset(map(int, numbers)),
        tuple(Line(event.kind.value, line_of(event.after)) for event in events),
    )


def shown_by(fs: FileSystem, layout: Layout, name: str) -> Content:
    """Return what a name of an infrastructure shows."""
    path = layout.within(name)
    if fs.entry(path).kind is Kind.DIRECTORY:
        return name
    head, _, tail = fs.read_link(path).rpartition("/")
    return int(tail) if head.endswith("deployments") else tail


def line_of(state: State) -> Shown:
    """Return what an event says that the names show."""
    shown: Shown = {STAGING: state.staging.value}
    if state.production is not None:
        shown[PRODUCTION] = state.production.value
    contents = {BLUE: state.blue, GREEN: state.green, **dict(state.private)}
    for name, content in contents.items():
        assert content is not None
        shown[name] = content.deployment or content.directory
    return shown


def model_of(fs: FileSystem, layout: Layout) -> Model:
    """Return the model of a target as it is; of what production served its history is believed."""
    found, newest = picture(fs, layout), history.newest(Target(fs, layout))
    way = Way()
    if newest is not None:
        trail = (content.deployment or content.directory for content in newest.past.trail)
        way = Way(tuple(trail), frozenset(newest.past.rolled_back))
    built = {number: version_of(fs, layout, number) for number in found.deployments}
    empty = (
        n for n in built if record.is_empty_tier(Target(fs, layout), Directory.of_deployment(n))
    )
    highest = numbering._highest(Target(fs, layout))
    return Model(found.shows, built, found.history, way, highest, frozenset(empty))


def version_of(fs: FileSystem, layout: Layout, number: int) -> int | None:
    """Return what version of the definitions a deployment was built from, if it was."""
    path = f"{layout.deployments}/{number}/bin/version"
    return int(read(fs, path)) if exists(fs, path) else None


def state(everything: Everything, layout: Layout) -> Everything:
    """Return what a command that fails leaves as it is; not what has a temporary link's name."""
    records = (layout.history, layout.intent, layout.config)
    prepared = {temporary(layout.within(name)) for name in LINKS}
    found = {}
    for path, facts in everything.items():
        build = path.removeprefix(f"{layout.deployments}/").partition("/")[0]
        if path.startswith(f"{layout.deployments}/"):
            counts = f"{layout.deployments}/{build}/meta/deployment.json" in everything
        elif path.startswith(layout.control):
            counts = path in records
        else:
            counts = not path.startswith(layout.cache) and path not in prepared
        if counts:
            found[path] = facts
    return found


def below(found: Everything, directory: str) -> Everything:
    return {path: facts for path, facts in found.items() if f"{path}/".startswith(f"{directory}/")}
