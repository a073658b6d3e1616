"""The group, and the one place that turns errors into text and an exit code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

import click

from tierctl import __version__
from tierctl.cli.commands import CommandGroup
from tierctl.cli.shared import options
from tierctl.cli.shared.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_USAGE,
    Call,
    NobodyReads,
    prepare_streams,
    say,
)
from tierctl.errors import TierctlError, cause_of


@click.group(cls=CommandGroup)
@options.flag(
    "-V", "--version", say=lambda _: f"tierctl {__version__}", help="Show the version and exit."
)
@options.show_help
def tierctl() -> None:
    """Blue/green deployment for software that lives on a filesystem.

    Build into staging, test it, and switch everybody over in one atomic step,
    with a way back.

    The target is --target DIR; or the one whose tier is loaded (IAC_TIER_DIR);
    or the one that the nearest tierctl.toml names.
    """


def main(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; whatever happens, nothing is raised."""
    prepare_streams()
    call = Call(arguments)
    try:
        return _run(arguments, call)
    except SystemExit as ended:  # completion ends so
        return ended.code if isinstance(ended.code, int) else EXIT_FAILED
    except NobodyReads:
        return 0
    except (click.Abort, KeyboardInterrupt):
        return _failed(call, EXIT_INTERRUPTED, "interrupted", "interrupted", _WHAT_NOW)
    except click.exceptions.NoArgsIsHelpError as error:
        say(error.format_message())
        return EXIT_USAGE
    except click.UsageError as error:
        return _failed(call, EXIT_USAGE, "usage", *_usage(call, error))
    except TierctlError as error:
        advice = call.advice(error.hint, error.command)
        return _failed(call, EXIT_FAILED, error.code, error.message, advice)
    except OSError as error:
        return _failed(call, EXIT_FAILED, "system", cause_of(error), _FIX_IT)
    except Exception as error:  # noqa: BLE001 (whatever it is, people get a message)
        if os.environ.get(_COMPLETE):  # a message would end up in the line that is being typed
            return EXIT_FAILED
        return _failed(call, EXIT_FAILED, "defect", _place_and_text(error), _REPORT_IT)


_COMPLETE = "_TIERCTL_COMPLETE"
_WHAT_NOW = "If a change was under way, the next change finishes it."
_FIX_IT = "Fix that and try again."
_REPORT_IT = "This is a defect of tierctl: please report it, with what you typed."


def _run(arguments: Sequence[str], call: Call) -> int:
    code = tierctl.main(
        list(arguments),
        prog_name="tierctl",  # the same words when run by "python -m"
        complete_var=_COMPLETE,
        standalone_mode=False,
        obj=call,
    )
    return code if isinstance(code, int) else 0


def _failed(call: Call, code: int, name: str, message: str, hint: str = "") -> int:
    with suppress(
        OSError, NobodyReads
    ):  # a stream that takes nothing leaves the exit code to say it
        call.failure(name, message, hint)
    return code


def _usage(call: Call, error: click.UsageError) -> tuple[str, str]:
    """Return what is wrong with a command line, and where to look."""
    if error.ctx is None:  # the parser itself, which knows no command
        return error.format_message(), f"See: {f'tierctl {call.command}'.rstrip()} --help"
    if isinstance(error, click.NoSuchOption) and error.ctx.command is tierctl and call.command:
        command = tierctl.get_command(error.ctx, call.command)
        if command is not None and any(error.option_name in of.opts for of in command.params):
            behind = f"tierctl {call.command} {error.option_name}"
            return error.message, f"Options stand behind the command: {behind}"
    return error.format_message(), f"See: {error.ctx.command_path} --help"


def _place_and_text(error: Exception) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" in {place.tb_frame.f_code.co_qualname}:{place.tb_lineno}"
    return f"{type(error).__name__}{where}: {error}"
