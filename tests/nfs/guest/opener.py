"""Opens a directory and reads the links in it, again and again: ``opener.py INFRASTRUCTURE``.

This is the process of a client that keeps the client's cache of the links in use.
"""

import os
import sys


def _main(infrastructure: str) -> None:
    while True:
        fd = os.open(infrastructure, os.O_RDONLY | os.O_DIRECTORY)
        for tier in ("production", "staging"):
            os.readlink(tier, dir_fd=fd)
        os.close(fd)


if __name__ == "__main__":
    _main(sys.argv[1])
