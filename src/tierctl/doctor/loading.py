"""Whether what the tiers show was finished, and can be loaded."""

from __future__ import annotations

from collections.abc import Container, Iterator

from tierctl import loadable, packages, record, tiers
from tierctl.doctor import deployments, relink
from tierctl.doctor.finding import Finding, note, problem
from tierctl.errors import NewerVersion, TierctlError, cause_of
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import BLUE, GREEN, PRODUCTION, STAGING, Layout
from tierctl.rotation import Content
from tierctl.text import shown, typed
from tierctl.validators import validate_color

SUBJECT = deployments.SUBJECT


def examine(fs: FileSystem, layout: Layout, damaged: Container[str]) -> Iterator[Finding]:
    """Yield what there is to say of all that is whole as a link."""
    contents = _contents(fs, layout, damaged)
    for content, names in contents.items():
        try:
            yield from _of_content(fs, layout, content, names)
        except OSError as error:  # a directory that the caller may not look into
            text = f"{_joined(names)} cannot be looked into: {cause_of(error)}"
            yield _unloadable(fs, layout, content, names, text)
    yield from deployments.examine(fs, layout, {content.deployment for content in contents})


def _contents(fs: FileSystem, layout: Layout, damaged: Container[str]) -> dict[Content, list[str]]:
    """Return the colors and private tiers by what they show."""
    contents: dict[Content, list[str]] = {}
    for name in tiers.names(fs, layout):
        if name not in (PRODUCTION, STAGING) and name not in damaged:
            contents.setdefault(validate_color(layout.within(name), fs), []).append(name)
    return contents


def _of_content(
    fs: FileSystem, layout: Layout, content: Content, names: list[str]
) -> Iterator[Finding]:
    path = layout.deployment_record(content.directory)
    if content.deployment is not None and not exists(fs, path):
        yield _unfinished(content, names, path)
        return
    yield from _newer_records(fs, layout, content)
    trouble = loadable.no_profile(fs, layout, content.directory)
    if trouble:
        text = f"{_joined(names)} {'have' if names[1:] else 'has'} {trouble}"
        yield _unloadable(fs, layout, content, names, text)


def _newer_records(fs: FileSystem, layout: Layout, content: Content) -> Iterator[Finding]:
    """Yield which records of a deployment a newer tierctl has written."""
    for load in (record.load, packages.read):
        try:
            load(fs, layout, content.directory)
        except NewerVersion as error:
            meaning = "What it holds cannot be compared with anything by this one."
            yield note(SUBJECT, error.message, meaning, "Update tierctl here.")
        except (TierctlError, OSError, ValueError, RecursionError):
            continue  # missing where it was made by hand, or not believed


def _unfinished(content: Content, names: list[str], path: str) -> Finding:
    meaning = "It may be half of a build."
    if BLUE in names or GREEN in names:
        meaning = "It may be half of a build: promote-staging refuses it without --force."
    by_hand = f"mkdir -p {typed(path.rpartition('/')[0])} && touch {typed(path)}"
    return problem(
        SUBJECT,
        f"{_joined(names)} {'show' if names[1:] else 'shows'} {content}, which was never finished",
        meaning,
        f"Deploy it again; or, if it was made by hand and is whole: {by_hand}",
    )


def _unloadable(
    fs: FileSystem, layout: Layout, content: Content, names: list[str], text: str
) -> Finding:
    color = relink.color_of(fs, layout, PRODUCTION)
    of_production = color in names
    if of_production and loadable.is_meant_to_be(fs, layout, content):
        meaning, advice = "Nobody can load production.", "Put its profile back from a backup"
        event = relink.newest(fs, layout)
        way_back = None if event is None else event.past.way_back
        if way_back is None or record.is_empty_tier(fs, layout, way_back):
            return problem(SUBJECT, text, meaning, f"{advice}, or promote another.")
        return problem(SUBJECT, text, meaning, f"{advice}, or roll back:", "rollback")
    return note(SUBJECT, text, "It cannot be loaded.")


def _joined(names: list[str]) -> str:
    return " and ".join(map(shown, names))
