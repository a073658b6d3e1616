"""The program, as a process: the installed ``tierctl`` and ``python -m tierctl``."""

import gc
import os
import sys
from typing import NoReturn


def run() -> NoReturn:
    """Run the command line and end the process."""
    # A process of some milliseconds ends before it needs a collection. Those that
    # importing click sets off, and taking the interpreter apart at the end, are a
    # fifth of its life (nox -s bench).
    gc.disable()
    from tierctl.cli.main import main

    code = main(sys.argv[1:])
    os._exit(code)  # all is flushed, and nothing waits to be called at exit


if __name__ == "__main__":
    run()
