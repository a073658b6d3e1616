"""What goes wrong in the engine's process, as text for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from rattler.exceptions import GatewayError, SolverError

from tierctl.deploy.engine.worker.wheels import WheelsFailed

_Result = TypeVar("_Result")


class Failed(Exception):
    """A question has no answer; says why, by what the reason is about."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__(str(reasons))
        self.reasons = dict(reasons)


def text_of(error: BaseException) -> str:
    """Return what went wrong, with its causes as the engine tells them."""
    tells_itself = isinstance(error, (SolverError, GatewayError, WheelsFailed))
    return f"{'' if tells_itself else f'{type(error).__name__}: '}{error}".strip()


def all_or_failed(
    names: Iterable[str], results: Iterable[_Result | BaseException]
) -> dict[str, _Result]:
    """Return results by name; raises ``Failed`` with the reason for each that is an error."""
    found: dict[str, _Result] = {}
    failed: dict[str, str] = {}
    for name, result in zip(names, results, strict=True):
        if isinstance(result, Failed):
            failed |= result.reasons
        elif isinstance(result, BaseException):
            failed[name] = text_of(result)
        else:
            found[name] = result
    if failed:
        raise Failed(failed)
    return found
