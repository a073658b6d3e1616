"""Homes and variables in what is asked for: they mean something else to each who deploys it.

Records are read by everybody, and another member of the group has to get the same from the same
definitions. So neither is expanded: uv would, and conda does.
"""

from __future__ import annotations

import re

_HOME = re.compile(r"(?:^|[\s=:]|://)~[^\s=/]*(?:/|$)")
_VARIABLE = re.compile(r"(?:^|[\s=:])\$\w|\$\{")
_WHY = "holds {}, which is another one for everybody who deploys this: write out {}"


def require_none(text: str) -> None:
    """Raise ``ValueError`` if a channel, a match spec or a requirement holds one."""
    if _HOME.search(text):
        raise ValueError(_WHY.format("a home (~)", "the path, such as /home/ada/channel"))
    if _VARIABLE.search(text):
        raise ValueError(_WHY.format("a variable", "what it stands for"))
