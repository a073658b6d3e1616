"""Whether what the tiers show was finished, and can be loaded."""

from __future__ import annotations

from collections.abc import Container, Iterator

from tierctl.doctor import deployments, relink
from tierctl.doctor.finding import Finding, note, problem
from tierctl.errors import NewerVersion, TierctlError, cause_of
from tierctl.fs.protocol import exists
from tierctl.report import loadable
from tierctl.rotation.names import BLUE, GREEN, PRODUCTION, STAGING
from tierctl.rotation.state import Content
from tierctl.target import packages, record, tiers
from tierctl.target.target import Target
from tierctl.target.validators import validate_color
from tierctl.text import shown, typed

SUBJECT = deployments.SUBJECT


def examine(target: Target, damaged: Container[str]) -> Iterator[Finding]:
    """Yield what there is to say of all that is whole as a link."""
    contents = _contents(target, damaged)
    for content, names in contents.items():
        try:
            yield from _of_content(target, content, names)
        except OSError as error:  # a directory that the caller may not look into
            text = f"{_joined(names)} cannot be looked into: {cause_of(error)}"
            yield _unloadable(target, content, names, text)
    yield from deployments.examine(target, {content.deployment for content in contents})


def _contents(target: Target, damaged: Container[str]) -> dict[Content, list[str]]:
    """Return the colors and private tiers by what they show."""
    contents: dict[Content, list[str]] = {}
    for name in tiers.names(target):
        if name not in (PRODUCTION, STAGING) and name not in damaged:
            contents.setdefault(validate_color(target.within(name), target.fs), []).append(name)
    return contents


def _of_content(target: Target, content: Content, names: list[str]) -> Iterator[Finding]:
    path = target.deployment_record(content.directory)
    if content.deployment is not None and not exists(target.fs, path):
        yield _unfinished(content, names, path)
        return
    yield from _newer_records(target, content)
    trouble = loadable.no_profile(target, content.directory)
    if trouble:
        text = f"{_joined(names)} {'have' if names[1:] else 'has'} {trouble}"
        yield _unloadable(target, content, names, text)


def _newer_records(target: Target, content: Content) -> Iterator[Finding]:
    """Yield which records of a deployment a newer tierctl has written."""
    for load in (record.load, packages.read):
        try:
            load(target, content.directory)
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


def _unloadable(target: Target, content: Content, names: list[str], text: str) -> Finding:
    color = relink.color_of(target, PRODUCTION)
    of_production = color in names
    if of_production and loadable.is_meant_to_be(target, content):
        meaning, advice = "Nobody can load production.", "Put its profile back from a backup"
        event = relink.newest(target)
        way_back = None if event is None else event.past.way_back
        if way_back is None or record.is_empty_tier(target, way_back):
            return problem(SUBJECT, text, meaning, f"{advice}, or promote another.")
        return problem(SUBJECT, text, meaning, f"{advice}, or roll back:", "rollback")
    return note(SUBJECT, text, "It cannot be loaded.")


def _joined(names: list[str]) -> str:
    return " and ".join(map(shown, names))
