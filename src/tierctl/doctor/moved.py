"""Whether a target is still where its profiles say: it cannot be moved or copied."""

from __future__ import annotations

from collections.abc import Iterator
from os import path as paths

from tierctl.doctor import deployments
from tierctl.doctor.finding import Finding, problem
from tierctl.fs.protocol import exists
from tierctl.report import loadable
from tierctl.report.loadable import is_same
from tierctl.rotation.names import BLUE, DEPLOYMENTS, GREEN, INFRASTRUCTURE, PRODUCTION, STAGING
from tierctl.target import tiers
from tierctl.target.target import Target
from tierctl.text import shown, typed

SUBJECT = deployments.SUBJECT


def examine(target: Target) -> Iterator[Finding]:
    """Yield the finding that loading a tier, or a deployment, leads somewhere else."""
    names = [name for name in tiers.names(target) if name not in (PRODUCTION, STAGING)]
    of_tiers = list(_led_away(target, names))
    yield from of_tiers
    if not of_tiers:  # else it is the same cause once more
        finished = deployments.look(target).finished
        yield from _led_away(target, [f"{DEPLOYMENTS}/{number}" for number in finished])


def _led_away(target: Target, names: list[str]) -> Iterator[Finding]:
    for name in names:
        written = loadable.leads_to(target, name)
        if written is None:
            continue
        if name.startswith(f"{DEPLOYMENTS}/") and _was_a_color(target, written):
            continue
        yield problem(
            SUBJECT,
            f"the profile of {shown(name)} leads to {shown(written)}",
            "A target cannot be moved or copied: what is built in it holds its path.",
            _advice(target, written),
        )


def _advice(target: Target, written: str) -> str:
    new = "bootstrap a new target and build its tiers again"
    old = _target_of(written)
    if old is None or exists(target.fs, old):
        return f"Load the one that it leads to; or {new}."
    return f"{new.capitalize()}, or move it back: mv {typed(target.top)} {typed(old)}"


def _target_of(directory: str) -> str | None:
    """Return the target that a tier's directory is in, by its spelling."""
    infrastructure, _, _ = directory.rpartition(f"/{DEPLOYMENTS}/")
    infrastructure = infrastructure or paths.dirname(directory)
    target, name = paths.split(infrastructure)
    return target if name == INFRASTRUCTURE else None


def _was_a_color(target: Target, written: str) -> bool:
    """Say whether a directory has been a color here, before it became a deployment."""
    head, name = paths.split(written)
    return name in (BLUE, GREEN) and is_same(target.fs, head, target.infrastructure)
