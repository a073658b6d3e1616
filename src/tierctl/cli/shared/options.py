"""The options that commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tierctl.cli.shared import values
from tierctl.cli.shared.output import Call, result

F = TypeVar("F", bound=Callable[..., Any])


def flag(*names: str, say: Callable[[click.Context], str], help: str) -> Callable[[F], F]:
    """Return an option that prints something and ends.

    Click's own ``--help`` and ``--version`` ask gettext for their help, which
    imports ``locale`` in every call of every command.
    """

    def print_and_end(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            result(say(ctx))
            ctx.exit()

    return click.option(
        *names,
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=print_and_end,
        help=help,
    )


def show_help(command: F) -> F:
    """Add ``--help``."""
    ending = flag("-h", "--help", say=click.Context.get_help, help="Show this message and exit.")
    return ending(command)


def target(command: F) -> F:
    """Add ``--target``, which the ``Call`` remembers."""

    def remember(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        ctx.ensure_object(Call).target = value
        return value

    return click.option(
        "-t",
        "--target",
        type=values.Directory(),
        metavar="DIR",
        is_eager=True,
        callback=remember,
        help="The directory that was given to bootstrap; by default that of the loaded tier.",
    )(command)


def dry_run(command: F) -> F:
    """Add ``--dry-run``."""
    return click.option(
        "-n", "--dry-run", is_flag=True, help="Check everything and show what would be done."
    )(command)


def message(command: F) -> F:
    """Add ``--message``."""
    return click.option(
        "-m",
        "--message",
        type=values.Reason(),
        default="",
        metavar="WHY",
        help="The reason, for history.",
    )(command)


def lock_timeout(command: F) -> F:
    """Add ``--lock-timeout``."""
    return click.option(
        "--lock-timeout",
        type=values.Seconds(),
        default=10,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait while somebody else changes the target.",
    )(command)


def json(command: F) -> F:
    """Add ``--json``, which the ``Call`` remembers."""

    def remember(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        ctx.ensure_object(Call).json = value

    return click.option(
        "--json",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=remember,
        help="Print one JSON document.",
    )(command)


def of_a_change(command: F) -> F:
    """Add what every command has that moves the links."""
    for add in (show_help, json, lock_timeout, message, dry_run, target):
        command = add(command)
    return command
