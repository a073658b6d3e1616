"""The options that commands share, and the types of their values."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.types import FloatParamType, StringParamType

from tierctl import target as targets
from tierctl.cli.output import Call, result
from tierctl.rotation import Color

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from tierctl.layout import Layout

F = TypeVar("F", bound=Callable[..., Any])
COLOR = click.Choice([color.value for color in Color])


class Directory(StringParamType):
    """A directory, completed by the shell."""

    name = "directory"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Ask the shell for directories."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="dir")]


class Completed:
    """What makes a type completed by the values that stand on disk."""

    def values(self, layout: Layout, incomplete: str) -> list[tuple[str, str]]:
        """Return what may be meant, each with a word of help."""
        raise NotImplementedError

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete from the target at hand; where there is none, or it is damaged, with nothing."""
        from click.shell_completion import CompletionItem

        from tierctl.errors import TierctlError

        try:
            layout = find_target(ctx.params.get("target"))
            values = self.values(layout, incomplete)
        except (OSError, TierctlError):
            return []
        return [
            CompletionItem(value, help=text)
            for value, text in values
            if value.startswith(incomplete)
        ]


class TierName(Completed, StringParamType):
    """The name of a tier."""

    name = "tier"

    def values(self, layout: Layout, incomplete: str) -> list[tuple[str, str]]:
        """Return the tiers that exist."""
        from tierctl import tiers
        from tierctl.filesystem import OsFileSystem

        return [(name, "") for name in tiers.names(OsFileSystem(), layout)]


class DeploymentNumber(Completed, click.IntRange):
    """The number of a deployment."""

    name = "number"

    def __init__(self) -> None:
        super().__init__(min=1)

    def values(self, layout: Layout, incomplete: str) -> list[tuple[str, str]]:
        """Return the deployments that were finished, newest first."""
        from tierctl import tiers
        from tierctl.filesystem import OsFileSystem

        return [
            (str(number), "") for number in tiers.deployments(OsFileSystem(), layout, finished=True)
        ]


class EventId(Completed, StringParamType):
    """An event's id, or the beginning of one."""

    name = "event"

    def values(self, layout: Layout, incomplete: str) -> list[tuple[str, str]]:
        """Return the newest events that may be meant."""
        from itertools import islice

        from tierctl import history
        from tierctl.filesystem import OsFileSystem

        newest = islice(history.newest_first(OsFileSystem(), layout), 1000)
        fitting = (event for event in newest if event.id.startswith(incomplete))
        return [(event.id, str(event.kind)) for event in islice(fitting, 30)]


class Seconds(FloatParamType):
    """A length of time that ends."""

    name = "seconds"

    def convert(
        self,
        value: Any,  # noqa: ANN401 (as click declares it)
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Convert, and refuse what is below 0, "nan" and "inf"."""
        seconds: float = super().convert(value, param, ctx)
        if not 0 <= seconds < math.inf:
            self.fail(f"{value} is not a number of seconds.", param, ctx)
        return seconds


def find_target(given: str | None) -> Layout:
    """Return the layout of the target at hand; raises a ``TierctlError`` without one."""
    return targets.find(given, os.environ)


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
    """Add ``--target``."""
    return click.option(
        "-t",
        "--target",
        type=Directory(),
        metavar="DIR",
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
        "-m", "--message", default="", metavar="WHY", help="The reason, for history."
    )(command)


def lock_timeout(command: F) -> F:
    """Add ``--lock-timeout``."""
    return click.option(
        "--lock-timeout",
        type=Seconds(),
        default=10.0,
        show_default="10",
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
