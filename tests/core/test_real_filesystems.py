"""The steps that changes take on real filesystems."""

import os
from collections.abc import Callable

import pytest

from harness.volumes import EXCHANGING, KINDS, Volume, each_of
from reporters import carry_out
from targets import make_deployment
from tierctl.change.requests import Promotion, Request, Rollback
from tierctl.fs.local import OsFileSystem
from tierctl.journal import history
from tierctl.rotation.plan import Exchange
from tierctl.target.links import observe
from tierctl.target.paths import Layout
from tierctl.target.target import Target

volume = each_of(KINDS)


def promotion(volume: Volume) -> tuple[Layout, Request]:
    return volume.target(blue=42, green=41), Promotion()


def first_promotion(volume: Volume) -> tuple[Layout, Request]:
    return volume.target(production=None), Promotion()


def rollback(volume: Volume) -> tuple[Layout, Request]:
    layout, request = promotion(volume)
    carry_out(layout, request)
    return layout, Rollback()


def rollback_of_color(volume: Volume) -> tuple[Layout, Request]:
    layout, request = rollback(volume)
    make_deployment(layout, 43)
    os.unlink(layout.within("green"))
    os.symlink("deployments/43", layout.within("green"))
    return layout, request


SWAP = ("exchange production and staging",)
ONE_BY_ONE = ("point production to {after.production}", "point staging to {after.staging}")
# By exchange, and without.
STEPS = {
    promotion: (SWAP, ONE_BY_ONE),
    first_promotion: (ONE_BY_ONE[::-1], ONE_BY_ONE[::-1]),
    rollback: (SWAP, ONE_BY_ONE),
    rollback_of_color: (
        ("point green to deployments/41", *SWAP),
        ("point green to deployments/41", *ONE_BY_ONE),
    ),
}


@pytest.mark.parametrize("build", STEPS)
def test_it_takes_the_steps_that_the_filesystem_can(
    volume: Volume, build: Callable[[Volume], tuple[Layout, Request]]
) -> None:
    layout, request = build(volume)
    done = carry_out(layout, request)
    expected = STEPS[build][0 if volume.kind in EXCHANGING else 1]
    assert [step.format(after=done.after) for step in expected] == list(map(str, done.steps))
    assert done.after == observe(Target(OsFileSystem(), layout))
    assert done.event == history.newest(Target(OsFileSystem(), layout))


def test_what_can_be_exchanged_is_foretold(volume: Volume) -> None:
    layout, request = promotion(volume)
    foretold = OsFileSystem().can_exchange(layout.infrastructure)
    steps = carry_out(layout, request).steps
    assert foretold is any(isinstance(step, Exchange) for step in steps)
