"""The certificates of authorities (CA), without which the engine does not even begin.

It reads them for whatever it is asked, also if that is all on this host.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import IO, TypeVar
from urllib.parse import urlsplit

from tierctl.deploy.engine.worker.failures import Failed
from tierctl.fs import tree

_Result = TypeVar("_Result")

_FILE, _DIRECTORY = "SSL_CERT_FILE", "SSL_CERT_DIR"
_WITHOUT = ("file", "http")
# Of an authority that certifies nothing: its key was thrown away.
_OF_NOBODY = b"""\
-----BEGIN CERTIFICATE-----
MIIBeTCCAR+gAwIBAgIUMUY/kskxgNCS8lBy4XEZ2z7LMNcwCgYIKoZIzj0EAwIw
ETEPMA0GA1UEAwwGbm9ib2R5MCAXDTI2MTEzMDE2MTMyOVoYDzIxMjYxMTA2MTYx
MzI5WjARMQ8wDQYDVQQDDAZub2JvZHkwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC
AASfKivTp/OPMODb/aaHxhNjB8WrCNAgwQj5Pjy0URQBDzPDNsm2rOPKPM3BmiFO
kjxnZPlEUi10vVMUw+/Y5PcIo1MwUTAdBgNVHQ4EFgQUfOkGzcSidKi+8Pq1rk4u
WICMvQMwHwYDVR0jBBgwFoAUfOkGzcSidKi+8Pq1rk4uWICMvQMwDwYDVR0TAQH/
BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEA4/7dw8cqWfC9/K0oXS6x6MWjM1V/
pH+LPe7VORZmzVUCIGjWCQDaEiHTtrG0K4TXn44kXVVHSarw9qH5wEDkj7J/
-----END CERTIFICATE-----
"""


def begun(begin: Callable[[], _Result], urls: Iterable[str]) -> _Result:
    """Return what the engine begins with, also on a host that has no certificates.

    Raises ``Failed`` if one of the URLs, or names of channels, is asked for over https.
    """
    try:
        return begin()
    except ValueError:
        asked = sorted({url for url in urls if urlsplit(url).scheme not in _WITHOUT})
        if asked:
            raise Failed({"certificates": _missing(asked)}) from None
        _believe_nobody()
        return begin()


def _missing(asked: list[str]) -> str:
    set_to = os.environ.get(_FILE)
    where = f"{_FILE} is {set_to}, which holds none" if set_to else "this host has none"
    return (
        f"https needs the certificates of authorities (CA), and {where}: {', '.join(asked)}\n"
        "Install the package ca-certificates, or name a file that holds them: "
        f"{_FILE}=/path/to/ca.pem"
    )


def _believe_nobody() -> None:
    """Have the engine find a certificate; uv, which brings its own, does not have it open."""
    file = tree.unnamed_file()
    file.write(_OF_NOBODY)
    file.flush()
    _open.append(file)
    os.environ[_FILE] = f"/dev/fd/{file.fileno()}"
    os.environ.pop(_DIRECTORY, None)


_open: list[IO[bytes]] = []
