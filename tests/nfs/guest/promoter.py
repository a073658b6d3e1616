"""Exchanges the tiers again and again: ``promoter.py HOW INFRASTRUCTURE TIMES PAUSE``.

HOW is ``tierctl``, ``unlink`` (the usual script: ``rm``, then ``ln -s``) or ``ln``
(``ln -sfn``). PAUSE is how many seconds to wait after each, on the average. Prints one
JSON document: for each exchange ``[begun, done, production, staging]``.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable


def _tierctl(infrastructure: str, _: str, __: str) -> None:
    target = os.path.dirname(infrastructure)
    words = ["tierctl", "promote-staging", "--force", "-t", target]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _unlink(infrastructure: str, production: str, staging: str) -> None:
    for tier, color in (("production", staging), ("staging", production)):
        subprocess.run(["rm", f"{infrastructure}/{tier}"], check=True)
        subprocess.run(["ln", "-s", color, f"{infrastructure}/{tier}"], check=True)


def _ln(infrastructure: str, production: str, staging: str) -> None:
    for tier, color in (("production", staging), ("staging", production)):
        subprocess.run(["ln", "-sfn", color, f"{infrastructure}/{tier}"], check=True)


_WAYS: dict[str, Callable[[str, str, str], None]] = {
    "tierctl": _tierctl,
    "unlink": _unlink,
    "ln": _ln,
}


def _links(infrastructure: str) -> list[str]:
    return [os.readlink(f"{infrastructure}/{tier}") for tier in ("production", "staging")]


def _main(how: str, infrastructure: str, times: str, pause: str) -> None:
    done: list[tuple[float, float, str, str]] = []
    for _ in range(int(times)):
        begun = time.time()
        before = _links(infrastructure)
        _WAYS[how](infrastructure, before[0], before[1])
        ended = time.time()
        after = _links(infrastructure)
        done.append((begun, ended, after[0], after[1]))
        time.sleep(random.uniform(0, 2 * float(pause)))
    json.dump(done, sys.stdout)


if __name__ == "__main__":
    _main(*sys.argv[1:])
