"""Where the links point, and whether what they show can be loaded."""

from __future__ import annotations

from collections.abc import Container, Iterator
from contextlib import suppress

from tierctl import history, tiers
from tierctl.doctor.finding import Finding, fine, note, problem
from tierctl.errors import InvalidLink, InvalidTargetPath, SameColor, TierctlError
from tierctl.events import Event
from tierctl.filesystem import FileSystem, Kind, exists
from tierctl.layout import (
    BLUE,
    DEPLOYMENTS,
    GREEN,
    LINKS,
    PRODUCTION,
    STAGING,
    Layout,
    is_deployment_number,
)
from tierctl.observe import observe
from tierctl.rotation import Color, State
from tierctl.text import shown, typed
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
    yield from filter(None, damaged.values())
    if not damaged.keys() & set(LINKS):
        state = observe(fs, layout)
        yield _rotation(fs, layout, state)
        yield from _unfinished_colors(fs, layout, state)
    yield from _loadable(fs, layout, damaged)
    yield from _deployments(fs, layout)
    yield from _path(layout)


def _damaged(fs: FileSystem, layout: Layout) -> Iterator[tuple[str, Finding | None]]:
    """Yield what is damaged; None stands for a tier whose color is, and has its finding."""
    names = {*tiers.names(fs, layout), STAGING, BLUE, GREEN}
    damaged = set()
    for name in sorted(names, key=lambda name: (name in (PRODUCTION, STAGING), name)):
        path = layout.within(name)
        try:
            if name in (PRODUCTION, STAGING):
                validate_symlink_target(path, fs)
            else:
                validate_color(path, fs)
        except InvalidLink as error:
            cause = _text_of(fs, path) if name in (PRODUCTION, STAGING) else ""
            yield name, None if cause in damaged else _damage(fs, layout, name, error.message)
            damaged.add(name)


def _text_of(fs: FileSystem, path: str) -> str:
    try:
        return fs.read_link(path)
    except OSError:
        return ""


def _damage(fs: FileSystem, layout: Layout, name: str, text: str) -> Finding:
    meaning = "This tier cannot be loaded."
    if name in LINKS:
        meaning = "No change is possible until this is mended; nothing that is loaded is affected."
        both = (PRODUCTION, STAGING)
        shows = [tier for tier in both if _text_of(fs, layout.within(tier)) == name]
        if shows:
            meaning = f"{' and '.join(shows)} cannot be loaded. {meaning}"
    return problem(SUBJECT, text, meaning, _how_to_relink(fs, layout, name))


def _how_to_relink(fs: FileSystem, layout: Layout, name: str) -> str:
    path = layout.within(name)
    aside = ""
    if exists(fs, path) and fs.entry(path).kind is not Kind.LINK:
        aside = f"mv {typed(path)} {typed(path + '.old')} && "
    if name in (PRODUCTION, STAGING):
        color = _free_color(fs, layout, name)
        if color is None:
            return f"Point {name} to blue or green, whichever is not the other tier's color."
        return f"To point it to the color that is free: {aside}ln -sfn {color} {typed(path)}"
    finished = tiers.deployments(fs, layout, finished=True)
    if not finished:
        return f"Point it to a deployment: {aside}ln -sfn {DEPLOYMENTS}/NUMBER {typed(path)}"
    newest = f"{aside}ln -sfn {DEPLOYMENTS}/{finished[0]} {typed(path)}"
    others = f" (or {', '.join(map(str, finished[1:]))})" if finished[1:] else ""
    return f"To point it to the newest finished deployment{others}: {newest}"


def _free_color(fs: FileSystem, layout: Layout, name: str) -> Color | None:
    """Return the color that the other tier does not show, if that tier is whole."""
    other = STAGING if name == PRODUCTION else PRODUCTION
    with suppress(InvalidLink, OSError):
        return validate_symlink_target(layout.within(other), fs).opposite
    return None


def _rotation(fs: FileSystem, layout: Layout, state: State) -> Finding:
    try:
        validate_rotation(state)
    except SameColor as error:
        free = f"To separate them: ln -sfn {state.staging.opposite} {typed(layout.within(STAGING))}"
        return problem(
            SUBJECT, error.message, "What is built into staging changes production.", free
        )
    if state.production is not None:
        return fine(SUBJECT, f"{state}")
    newest = _newest(fs, layout)
    if newest is None or newest.after.production is None:
        return note(SUBJECT, f"{state}", advice="The first promotion:", command="promote-staging")
    path = typed(layout.within(PRODUCTION))
    return problem(
        SUBJECT,
        f"production is missing; history knows that it was {newest.after.production}",
        "Nobody can load production.",
        f"To have it again: ln -s {state.staging.opposite} {path}",
    )


def _newest(fs: FileSystem, layout: Layout) -> Event | None:
    try:
        return history.newest(fs, layout)
    except (TierctlError, OSError):  # the records have their own findings
        return None


def _unfinished_colors(fs: FileSystem, layout: Layout, state: State) -> Iterator[Finding]:
    for color in Color:
        content = state.content(color)
        record = layout.deployment_record(content.directory)
        if content.deployment is not None and not exists(fs, record):
            yield problem(
                SUBJECT,
                f"{color} shows {content}, which was never finished",
                "It may be half of a build: promote-staging refuses it without --force.",
                f"Deploy it again; or, if it was made by hand and is whole: touch {typed(record)}",
            )


def _loadable(fs: FileSystem, layout: Layout, damaged: Container[str]) -> Iterator[Finding]:
    for name in tiers.names(fs, layout):
        if name in (PRODUCTION, STAGING) or name in damaged:
            continue
        if exists(fs, f"{layout.within(name)}/etc/profile.sh"):
            continue
        text = f"{shown(name)} has no etc/profile.sh"
        is_deployment = fs.entry(layout.within(name)).kind is Kind.LINK
        if is_deployment and _text_of(fs, layout.within(PRODUCTION)) == name:
            yield problem(SUBJECT, text, "Nobody can load production.", "Roll back:", "rollback")
        else:
            yield note(SUBJECT, text, "It cannot be loaded.")


def _deployments(fs: FileSystem, layout: Layout) -> Iterator[Finding]:
    unfinished = tiers.deployments(fs, layout, finished=False)
    if unfinished:
        yield note(
            SUBJECT,
            f"unfinished deployments: {', '.join(map(str, unfinished))}",
            "They are being built, or their build was interrupted.",
        )
    for name in fs.names(layout.deployments) if exists(fs, layout.deployments) else []:
        kind = fs.entry(layout.within(f"{DEPLOYMENTS}/{name}")).kind
        if is_deployment_number(name) and kind is not Kind.DIRECTORY:
            yield note(
                SUBJECT,
                f"{shown(layout.deployments)}/{name} is a {kind.value}, not a directory",
                "It is no deployment, and no color can show it.",
            )


def _path(layout: Layout) -> Iterator[Finding]:
    try:
        validate_target_path(layout.target)
    except InvalidTargetPath as error:
        yield note(SUBJECT, error.message, "Environments cannot be built here.", error.hint)
