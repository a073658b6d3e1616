"""Passwords and tokens in what is asked for: everybody could read them in records and locks."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"\[\],]*")
# As conda writes a token into a channel: https://host/t/TOKEN/channel, for short t/TOKEN/channel.
_TOKEN = re.compile(r"(?:^|/)t/[^/]+/")
_IN_QUERY = re.compile(r"(?:token|key|sig|secret|password|auth)[^=&]*=", re.IGNORECASE)
_WHY = (
    "holds a {}: everybody can read it here. Nothing is read from .netrc or a keyring yet: "
    "use a channel or index that asks for none, as a mirror within your network"
)


def require_none(text: str) -> None:
    """Raise ``ValueError`` if a channel, a match spec or a requirement holds a secret."""
    for url in _URL.findall(text):
        parts = urlsplit(url)
        is_login = parts.scheme.endswith("ssh") and parts.password is None
        if "@" in parts.netloc and not is_login:
            raise ValueError(_WHY.format("password"))
        is_file = parts.scheme == "file"
        if _IN_QUERY.search(parts.query) or (_TOKEN.search(parts.path) and not is_file):
            raise ValueError(_WHY.format("token"))
    if _TOKEN.match(text):
        raise ValueError(_WHY.format("token"))
