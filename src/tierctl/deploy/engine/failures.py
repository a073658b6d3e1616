"""What can go wrong with the engine, as errors for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tierctl.change.ending import FULL
from tierctl.errors import TierctlError, cause_of
from tierctl.text import shown

_MOST_NAMED = 10
# What to do where a limit is too short.
LONGER = "If it only takes longer: deploy with --timeout SECONDS."


class EngineMissing(TierctlError):
    """The packages that deploy needs are not installed."""

    code = "engine-missing"

    def __init__(self) -> None:
        super().__init__(
            "deploying needs packages that are not installed",
            "Install them: pip install 'tierctl[deploy]'",
        )


class EngineFailed(TierctlError):
    """An environment could not be solved, fetched or linked."""

    code = "engine-failed"

    def __init__(self, verb: str, reasons: Mapping[str, str], hint: str = "") -> None:
        lines = [f"{shown(name)}: {_indented(text)}" for name, text in sorted(reasons.items())]
        super().__init__(
            "\n  ".join((f"could not {verb}:", *lines)), f"No tier was changed. {hint}".rstrip()
        )
        self.reasons = dict(reasons)


class NotBuilt(TierctlError):
    """The system did not let a deployment be written."""

    code = "not-built"

    def __init__(self, error: OSError) -> None:
        is_full = error.errno in FULL
        hint = "To see what can make room:" if is_full else "Fix that and try again."
        super().__init__(
            f"the deployment could not be built: {cause_of(error)}",
            f"No tier was changed. {hint}",
            "prune -n" if is_full else "",
        )


class NoScratch(TierctlError):
    """There is no room, or no permission, for temporary files."""

    code = "no-scratch"

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"no temporary directory for a dry run: {cause_of(error)}",
            "Name one in which you may write and that has room: TMPDIR=DIR tierctl deploy ...",
        )


class Incomplete(TierctlError):
    """What was built is not what was to be built.

    ``damaged`` are the packages that are not whole, as the cache calls them.
    """

    code = "incomplete"

    def __init__(self, environment: str, problems: list[str], damaged: Iterable[str] = ()) -> None:
        more = len(problems) - _MOST_NAMED
        lines = problems[:_MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])
        self.problems = problems
        self.damaged = frozenset(damaged)
        again = "Deploy again, which fetches these packages anew." if self.damaged else "Try again."
        super().__init__(
            "\n  ".join((f"{shown(environment)} is not what its packages say:", *lines)),
            f"No tier was changed. {again} If it says the same, the packages are at fault: ask for "
            "other versions.",
        )


def _indented(text: str) -> str:
    return "\n    ".join(shown(line) for line in text.splitlines())
