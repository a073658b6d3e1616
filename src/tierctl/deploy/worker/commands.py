"""The commands that packages bring, known before they are installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tierctl.deploy.worker import archives, contents, outside
from tierctl.deploy.worker.failures import Failed
from tierctl.deploy.worker.members import Contents
from tierctl.deploy.worker.solving import Environments


async def listed(asked: dict[str, Any], solved: Environments) -> dict[str, Any]:
    """Return the names in each environment's ``bin``, as its conda packages tell them.

    Raises ``Failed``, also for packages that would not be installed.
    """
    cache = asked["packages"]
    if asked["offline"]:
        archives.require_within_reach(solved, cache)
    found, wrong = {}, dict[str, str]()
    for name, environment in solved.items():
        told = await contents.read(environment.records, cache)
        wrong |= {each.package: str(each) for each in outside.of_all(told, "")}
        found[name] = sorted({command for each in told for command in _commands(each)})
    if wrong:
        raise Failed(wrong)
    return {"commands": found}


def _commands(told: Contents) -> Iterator[str]:
    for path in (*told.targets, *told.commands):
        directory, _, name = path.rpartition("/")
        if directory == "bin":
            yield name
