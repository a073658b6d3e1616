"""Where the links point: one finding for a cause, and what to type."""

from __future__ import annotations

from collections.abc import Container, Iterator

from tierctl.doctor import loading, relink
from tierctl.doctor.finding import Finding, fine, note, problem
from tierctl.errors import InvalidLink, InvalidTargetPath, SameColor
from tierctl.fs.protocol import exists
from tierctl.rotation.names import BLUE, GREEN, LINKS, PRODUCTION, STAGING
from tierctl.target import tiers
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.validators import validate_color, validate_symlink_target, validate_target_path
from tierctl.text import typed

SUBJECT = loading.SUBJECT
_BOTH = (PRODUCTION, STAGING)


def examine(target: Target) -> Iterator[Finding]:
    """Yield what there is to say of tiers, colors and deployments."""
    damaged = dict(_damaged(target))
    yield from filter(None, damaged.values())
    yield from _rotation(target, damaged)
    yield from loading.examine(target, damaged)
    yield from _path(target)


def _damaged(target: Target) -> Iterator[tuple[str, Finding | None]]:
    """Yield what is damaged; None stands for a tier whose color is, and has its finding."""
    names = {*tiers.names(target), STAGING, BLUE, GREEN}
    damaged = set()
    for name in sorted(names, key=lambda name: (name in _BOTH, name)):
        path = target.within(name)
        try:
            if name in _BOTH:
                validate_symlink_target(path, target.fs)
            else:
                validate_color(path, target.fs)
        except InvalidLink as error:
            told_of = name in _BOTH and _shown_by(target, name) in damaged
            yield name, None if told_of else _damage(target, name, error.message)
            damaged.add(name)


def _shown_by(target: Target, tier: str) -> str | None:
    color = relink.color_of(target, tier)
    return None if color is None else color


def _damage(target: Target, name: str, text: str) -> Finding:
    meaning = "This tier cannot be loaded."
    if name in LINKS:
        meaning = "No change is possible until this is fixed; nothing that is loaded is affected."
        shows = [tier for tier in _BOTH if _shown_by(target, tier) == name]
        if shows:
            chains = "".join(_chain(target, tier) for tier in shows)
            meaning = f"{' and '.join(shows)} cannot be loaded.{chains} {meaning}"
    return problem(SUBJECT, text, meaning, relink.advice(target, name))


def _chain(target: Target, tier: str) -> str:
    """Return the names that a tier which dangles leads through, as a sentence."""
    try:
        validate_symlink_target(target.within(tier), target.fs)
    except InvalidLink as error:
        chain = error.message.partition(" is dangling: ")[2]
        return f" {chain}." if chain else ""
    return ""


def _rotation(target: Target, damaged: Container[str]) -> Iterator[Finding]:
    production, staging = (relink.color_of(target, tier) for tier in _BOTH)
    whole = not any(name in damaged for name in LINKS)
    if staging is not None and staging is production:
        free = f"To separate them: ln -sfn {staging.opposite} {typed(target.within(STAGING))}"
        meaning = "What is built into staging changes production."
        yield problem(SUBJECT, SameColor(staging).message, meaning, free)
    elif not exists(target.fs, target.within(PRODUCTION)):
        yield from _without_production(target, whole=whole)
    elif whole:
        yield fine(SUBJECT, f"{observe(target)}")


def _without_production(target: Target, *, whole: bool) -> Iterator[Finding]:
    newest = relink.newest(target)
    if newest is not None and newest.after.production is not None:
        color = relink.free_color(target, PRODUCTION)
        yield problem(
            SUBJECT,
            f"production is missing; history knows that it was {newest.after.production}",
            "Nobody can load production.",
            f"To have it again: ln -s {color} {typed(target.within(PRODUCTION))}",
        )
    elif whole:
        state = observe(target)
        yield note(SUBJECT, f"{state}", advice="The first promotion:", command="promote-staging")


def _path(layout: Layout) -> Iterator[Finding]:
    try:
        validate_target_path(layout.top)
    except InvalidTargetPath as error:
        yield note(SUBJECT, error.message, "Environments cannot be built here.", error.hint)
