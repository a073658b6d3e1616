"""Where the links point, and whether what they show can be loaded."""

from __future__ import annotations

from collections.abc import Container, Iterator

from tierctl import tiers
from tierctl.doctor.finding import Finding, fine, note, problem
from tierctl.errors import InvalidLink, InvalidTargetPath, SameColor
from tierctl.filesystem import FileSystem, exists
from tierctl.layout import LINKS, PRODUCTION, STAGING, Layout
from tierctl.observe import observe
from tierctl.text import shown
from tierctl.validators import (
    validate_color,
    validate_rotation,
    validate_symlink_target,
    validate_target_path,
)

SUBJECT = "links"


def examine(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    """Yield what there is to say of tiers, colors and deployments."""
    damaged = dict(_damaged(fs, layout))
    yield from damaged.values()
    if not damaged.keys() & set(LINKS):
        yield _rotation(fs, layout)
    yield from _loadable(fs, layout, damaged)
    yield from _deployments(fs, layout)
    yield from _path(layout)


def _damaged(fs: FileSystem, layout: Layout) -> Iterator[tuple[str, Finding]]:
    for name in tiers.names(fs, layout):
        try:
            if name in (PRODUCTION, STAGING):
                validate_symlink_target(layout.within(name), fs)
            else:
                validate_color(layout.within(name), fs)
        except InvalidLink as error:
            yield name, _damage(name, error.message)
    for name in LINKS:
        if name != PRODUCTION and not exists(fs, layout.within(name)):
            yield name, _damage(name, f"{shown(layout.within(name))} is missing")


def _damage(name: str, text: str) -> Finding:
    return problem(SUBJECT, text, _what_fails(name), _how_to_relink(name))


def _what_fails(name: str) -> str:
    if name in LINKS:
        return "No change is possible until this is mended; nothing that is loaded is affected."
    return "This tier cannot be loaded."


def _how_to_relink(name: str) -> str:
    if name in (PRODUCTION, STAGING):
        return f"Point {name} to blue or green, whichever is not the other tier's color."
    return f"Point {shown(name)} to a deployment, as in: ln -sfn deployments/NUMBER {shown(name)}"


def _rotation(fs: FileSystem, layout: Layout) -> Finding:
    state = observe(fs, layout)
    try:
        validate_rotation(state)
    except SameColor as error:
        return problem(
            SUBJECT,
            error.message,
            "What is built into staging changes production.",
            _how_to_relink(STAGING),
        )
    if state.production is None:
        return note(SUBJECT, f"{state}", advice="The first promotion:", command="promote-staging")
    return fine(SUBJECT, f"{state}")


def _loadable(fs: FileSystem, layout: Layout, damaged: Container[str]) -> Iterator[Finding]:
    for name in tiers.names(fs, layout):
        if name in (PRODUCTION, STAGING) or name in damaged:
            continue
        if not exists(fs, f"{layout.within(name)}/etc/profile.sh"):
            yield note(SUBJECT, f"{shown(name)} has no etc/profile.sh", "It cannot be loaded.")


def _deployments(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    unfinished = tiers.deployments(fs, layout, finished=False)
    if unfinished:
        yield note(
            SUBJECT,
            f"unfinished deployments: {', '.join(map(str, unfinished))}",
            "They are being built, or their build was interrupted.",
        )


def _path(layout: Layout) -> Iterator[Finding]:
    try:
        validate_target_path(layout.target)
    except InvalidTargetPath as error:
        yield note(SUBJECT, error.message, "Environments cannot be built here.", error.hint)
