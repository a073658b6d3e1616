"""The types of the commands' values, and how a shell completes them."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import click
from click.types import FloatParamType, IntParamType, StringParamType

from tierctl.errors import NoDefinitions
from tierctl.fs.local import OsFileSystem
from tierctl.rotation.names import is_deployment_number
from tierctl.rotation.state import Color
from tierctl.target import find as targets
from tierctl.target.target import Target

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


_LONGEST_REASON = 1000
COLOR = click.Choice([color.value for color in Color])


def find_target(given: str | None, definitions: str | None = None) -> Target:
    """Return the target at hand, on this host; raises a ``TierctlError`` without one.

    ``definitions`` are the ones that may name it, if some were given.
    """
    return Target(OsFileSystem(), targets.find(given, os.environ, definitions))


def find_definitions(given: str | None) -> str:
    """Return the absolute path of the definitions at hand; raises ``NoDefinitions``.

    A ``tierctl.toml`` of somebody else, in a directory above, does not come before what is here.
    """
    if given is not None:
        return targets.absolute(given, os.environ)
    file = targets.nearest_definitions(os.environ)
    if file is not None and targets.is_own(file):
        return os.path.dirname(file)
    here = targets.working_directory(os.environ)
    if any(os.path.isdir(os.path.join(here, name)) for name in ("environments", "tier")):
        return here
    if file is not None:
        return os.path.dirname(file)
    raise NoDefinitions(here)


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

    def values(self, target: Target, incomplete: str) -> list[tuple[str, str]]:
        """Return what may be meant, each with a word of help."""
        raise NotImplementedError

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete from the target at hand; where there is none, or it is damaged, with nothing."""
        from click.shell_completion import CompletionItem

        from tierctl.errors import TierctlError

        try:
            target = find_target(ctx.params.get("target"))
            values = self.values(target, incomplete)
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

    def values(self, target: Target, incomplete: str) -> list[tuple[str, str]]:
        """Return the tiers that exist."""
        from tierctl.target import tiers

        return [(name, "") for name in tiers.names(target)]


class TierOrDeployment(TierName):
    """The name of a tier, or the number of a deployment."""

    name = "tier or deployment"

    def values(self, target: Target, incomplete: str) -> list[tuple[str, str]]:
        """Return the tiers that exist, and the deployments that were finished."""
        from tierctl.target import tiers

        numbers = tiers.deployments(target, finished=True)
        return super().values(target, incomplete) + [(str(number), "") for number in numbers]


class WholeNumber(IntParamType):
    """A number from 1 on, of nine digits at most."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(
        self,
        value: Any,  # noqa: ANN401 (as click declares it)
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> int:
        """Convert, and refuse 0, signs, and what nobody has so many of."""
        if not is_deployment_number(str(value)):
            self.fail(f"{value!r} is not a {self.name}.", param, ctx)
        return int(value)


class DeploymentNumber(Completed, WholeNumber):
    """The number of a deployment."""

    def __init__(self) -> None:
        super().__init__("deployment's number")

    def values(self, target: Target, incomplete: str) -> list[tuple[str, str]]:
        """Return the deployments that were finished, newest first."""
        from tierctl.target import tiers

        return [(str(number), "") for number in tiers.deployments(target, finished=True)]


class EventId(Completed, StringParamType):
    """An event's id, or the beginning of one."""

    name = "event"

    def values(self, target: Target, incomplete: str) -> list[tuple[str, str]]:
        """Return the newest events that may be meant."""
        from itertools import islice

        from tierctl.journal import history

        newest = islice(history.newest_first(target), 1000)
        fitting = (event for event in newest if event.id.startswith(incomplete))
        return [(event.id, event.kind) for event in islice(fitting, 30)]


class Reason(StringParamType):
    """Why something is done: short enough for a line of history."""

    name = "reason"

    def convert(
        self,
        value: Any,  # noqa: ANN401 (as click declares it)
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """Convert, and refuse what nobody would read."""
        reason: str = super().convert(value, param, ctx)
        if len(reason) > _LONGEST_REASON:
            self.fail(f"{len(reason)} characters; {_LONGEST_REASON} are enough.", param, ctx)
        return reason


class Age(StringParamType):
    """An age in days: ``30d``, or ``30``."""

    name = "age in days, such as 30d"

    def convert(
        self,
        value: Any,  # noqa: ANN401 (as click declares it)
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Any:  # noqa: ANN401 (as above)
        """Convert to days."""
        text = str(value).removesuffix("d")
        if not (text.isascii() and text.isdecimal() and len(text) < 6):
            self.fail(f"{value!r} is not an {self.name}.", param, ctx)
        return int(text)


class Seconds(FloatParamType):
    """A length of time that ends."""

    name = "number of seconds"

    def __init__(self, least: float = 0) -> None:
        self._least = least

    def convert(
        self,
        value: Any,  # noqa: ANN401 (as click declares it)
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> float:
        """Convert, and refuse what is too small, "nan" and "inf"."""
        try:
            seconds = float(value)
        except ValueError:
            seconds = math.nan
        if not self._least <= seconds < math.inf:
            least = f" of {self._least:g} or more" if self._least else ""
            self.fail(f"{value!r} is not a {self.name}{least}.", param, ctx)
        return seconds
