"""``tierctl deploy``."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options, values
from tierctl.cli.shared.output import Call
from tierctl.deploy.engine.process import TIMEOUT_S
from tierctl.rotation.names import REPODATA, WHEELS
from tierctl.target.paths import Layout


@click.command("deploy", short_help=COMMANDS["deploy"])
@click.argument("tier", type=values.TierName())
@click.option(
    "--definitions",
    type=values.Directory(),
    metavar="DIR",
    help="The directory that says what the tier contains; by default that of tierctl.toml.",
)
@click.option("--offline", is_flag=True, help="Ask nobody: take what is in the package cache.")
@click.option("--rebuild", is_flag=True, help="Build also what the tier shows already.")
@click.option(
    "--like",
    type=values.TierOrDeployment(),
    metavar="TIER|NUMBER",
    help="Take exactly the packages of this tier or deployment, instead of solving.",
)
@click.option(
    "--timeout",
    type=values.Seconds(least=1),
    default=TIMEOUT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait where nothing happens: a server that is silent, a script that hangs.",
)
@options.of_a_change
@click.pass_obj
def command(
    call: Call,
    tier: str,
    definitions: str | None,
    offline: bool,
    rebuild: bool,
    like: str | None,
    timeout: float,
    target: str | None,
    dry_run: bool,
    message: str,
    lock_timeout: float,
) -> None:
    """Build the definitions, and point a tier to the result.

    TIER is staging, a color that production does not serve, or a private tier
    of your own: dev1, test-numpy. What is built is a new deployment; nothing
    that is there is changed, and the tier moves when all of it is whole.

    Example: tierctl deploy staging -m "numpy 2"
    """
    from tierctl.deploy.engine import client

    directory = values.find_definitions(definitions)
    here = values.find_target(target, None if definitions is None else directory)
    shared = here.fs.entry(here.infrastructure, follow=True).group_writes
    with (
        _ended_like_by_ctrl_c(),
        _cache(here, dry_run=dry_run) as cache,
        client.started(
            cache,
            confined=True,
            offline=offline,
            shared=shared,
            timeout=timeout,
        ) as run,
    ):
        # Importing them takes as long as the engine's start.
        from tierctl.cli.shared.deploying import Teller
        from tierctl.deploy import deploy
        from tierctl.target import users

        who = users.current(os.environ, message)
        wish = deploy.Wish(tier, directory, client.platform(), rebuild, like)
        with closing(Teller(call, tier, dry_run=dry_run)) as teller:
            if teller.bars is not None:
                run.watch = teller.advanced
            if dry_run:
                deploy.preview(here, wish, run, who, teller)
            else:
                deploy.deploy(here, wish, run, who, teller, lock_timeout=lock_timeout)


@contextmanager
def _ended_like_by_ctrl_c() -> Iterator[None]:
    """Have SIGTERM and SIGHUP end a deploy in order too: a session that is lost, a scheduler.

    One that the caller has ignored, as ``nohup`` does, stays so.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _cache(layout: Layout, *, dry_run: bool) -> Iterator[str]:
    """Have the target's package cache, or for a dry run one with what is known of packages."""
    if not dry_run:
        yield layout.cache
        return
    from tierctl.deploy.engine.failures import NoScratch
    from tierctl.fs import tree

    scratch = tree.scratch(
        holding=[f"{layout.cache}/{name}" for name in (REPODATA, WHEELS)],
        linked="archive-*",  # what uv has unpacked
    )
    with ExitStack() as stack:
        try:
            place = stack.enter_context(scratch)
        except OSError as error:
            raise NoScratch(error) from error
        yield place
