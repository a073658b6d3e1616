"""The program, as a process: the installed ``tierctl`` and ``python -m tierctl``."""

import gc
import os
import signal
import sys
from typing import NoReturn

_HELP = {"-h", "--help"}


def run() -> NoReturn:
    """Run the command line and end the process."""
    _import_own_modules_first()
    # Who has it ignored, as a shell does for what it starts in the background, keeps that.
    can_be_interrupted = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    if can_be_interrupted:
        # Nothing is under way yet: Ctrl-C just ends the process, without a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Where the caller has it ignored, nobody hears how a process has ended.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A process of some milliseconds ends before it needs a collection. Those that
    # importing click sets off, and taking the interpreter apart at the end, are a
    # fifth of its life (nox -s bench).
    gc.disable()
    if sys.argv[1:2] == ["deploy"] and not _HELP & {*sys.argv}:
        from tierctl.deploy.engine import process

        process.start_early()
    from tierctl.cli.main import main

    if can_be_interrupted:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    os._exit(code)  # all is flushed, and nothing waits to be called at exit


def _import_own_modules_first() -> None:
    """Have PYTHONPATH, where an environment module may put other versions, be looked at last."""
    own = os.path.dirname(os.path.dirname(__file__))
    for place in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if place in sys.path and os.path.abspath(place) != own:
            sys.path.remove(place)
            sys.path.append(place)


if __name__ == "__main__":
    run()
