"""Where the links point: one finding for a cause, and what to type."""

from __future__ import annotations

from collections.abc import Container, Iterator

from tierctl import tiers
from tierctl.doctor import loading, relink
from tierctl.doctor.finding import Finding, fine, note, problem
from tierctl.errors import InvalidLink, InvalidTargetPath, SameColor
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import BLUE, GREEN, LINKS, PRODUCTION, STAGING, Layout
from tierctl.observe import observe
from tierctl.text import typed
from tierctl.validators import validate_color, validate_symlink_target, validate_target_path

SUBJECT = loading.SUBJECT
_BOTH = (PRODUCTION, STAGING)


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what there is to say of tiers, colors and deployments."""
    damaged = dict(_damaged(fs, layout))
    yield from filter(None, damaged.values())
    yield from _rotation(fs, layout, damaged)
    yield from loading.examine(fs, layout, damaged)
    yield from _path(layout)


def _damaged(fs: FileSystem, layout: Layout) -> Iterator[tuple[str, Finding | None]]:
    """Yield what is damaged; None stands for a tier whose color is, and has its finding."""
    names = {*tiers.names(fs, layout), STAGING, BLUE, GREEN}
    damaged = set()
    for name in sorted(names, key=lambda name: (name in _BOTH, name)):
        path = layout.within(name)
        try:
            if name in _BOTH:
                validate_symlink_target(path, fs)
            else:
                validate_color(path, fs)
        except InvalidLink as error:
            told_of = name in _BOTH and _shown_by(fs, layout, name) in damaged
            yield name, None if told_of else _damage(fs, layout, name, error.message)
            damaged.add(name)


def _shown_by(fs: FileSystem, layout: Layout, tier: str) -> str | None:
    color = relink.color_of(fs, layout, tier)
    return None if color is None else color


def _damage(fs: FileSystem, layout: Layout, name: str, text: str) -> Finding:
    meaning = "This tier cannot be loaded."
    if name in LINKS:
        meaning = "No change is possible until this is fixed; nothing that is loaded is affected."
        shows = [tier for tier in _BOTH if _shown_by(fs, layout, tier) == name]
        if shows:
            chains = "".join(_chain(fs, layout, tier) for tier in shows)
            meaning = f"{' and '.join(shows)} cannot be loaded.{chains} {meaning}"
    return problem(SUBJECT, text, meaning, relink.advice(fs, layout, name))


def _chain(fs: FileSystem, layout: Layout, tier: str) -> str:
    """Return the names that a tier which dangles leads through, as a sentence."""
    try:
        validate_symlink_target(layout.within(tier), fs)
    except InvalidLink as error:
        chain = error.message.partition(" is dangling: ")[2]
        return f" {chain}." if chain else ""
    return ""


def _rotation(fs: FileSystem, layout: Layout, damaged: Container[str]) -> Iterator[Finding]:
    production, staging = (relink.color_of(fs, layout, tier) for tier in _BOTH)
    whole = not any(name in damaged for name in LINKS)
    if staging is not None and staging is production:
        free = f"To separate them: ln -sfn {staging.opposite} {typed(layout.within(STAGING))}"
        meaning = "What is built into staging changes production."
        yield problem(SUBJECT, SameColor(staging).message, meaning, free)
    elif not exists(fs, layout.within(PRODUCTION)):
        yield from _without_production(fs, layout, whole=whole)
    elif whole:
        yield fine(SUBJECT, f"{observe(fs, layout)}")


def _without_production(fs: FileSystem, layout: Layout, *, whole: bool) -> Iterator[Finding]:
    newest = relink.newest(fs, layout)
    if newest is not None and newest.after.production is not None:
        color = relink.free_color(fs, layout, PRODUCTION)
        yield problem(
            SUBJECT,
            f"production is missing; history knows that it was {newest.after.production}",
            "Nobody can load production.",
            f"To have it again: ln -s {color} {typed(layout.within(PRODUCTION))}",
        )
    elif whole:
        state = observe(fs, layout)
        yield note(SUBJECT, f"{state}", advice="The first promotion:", command="promote-staging")


def _path(layout: Layout) -> Iterator[Finding]:
    try:
        validate_target_path(layout.target)
    except InvalidTargetPath as error:
        yield note(SUBJECT, error.message, "Environments cannot be built here.", error.hint)
