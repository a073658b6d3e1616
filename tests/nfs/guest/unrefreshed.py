"""tierctl without the refresh of a client's caches: ``unrefreshed.py WORDS...``."""

import sys

from tierctl.__main__ import run
from tierctl.fs.local import OsFileSystem


def _nothing(*_: object, **__: object) -> None:
    """Leave the caches as they are."""


if __name__ == "__main__":
    assert callable(OsFileSystem.refresh)
    OsFileSystem.refresh = _nothing
    sys.exit(run())
