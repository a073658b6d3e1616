"""What environments will hold, known before they are installed: for a dry run."""

from __future__ import annotations

from os import path as paths
from typing import Any

from tierctl.deploy.engine.worker import archives, clashes, contents, members, outside
from tierctl.deploy.engine.worker.failures import Failed
from tierctl.deploy.engine.worker.members import COMMANDS, Contents
from tierctl.deploy.engine.worker.solving import Environments, Solved
from tierctl.deploy.engine.worker.wheels import WheelsFailed


async def foreseen(asked: dict[str, Any], solved: Environments) -> dict[str, Any]:
    """Return the commands of each environment, and what is to be said of clashes in it.

    Raises ``Failed``, also for packages that would not be installed.
    """
    cache = asked["packages"]
    if asked["offline"]:
        archives.require_within_reach(solved, cache)
    found = {name: await contents.read(each.records, cache) for name, each in solved.items()}
    wrong = {
        each.package: str(each) for known in found.values() for each in outside.of_all(known, "")
    }
    if wrong:
        raise Failed(wrong)
    owners = clashes.require_told(found, solved)
    commands, told = {}, {}
    for name, environment in found.items():
        try:
            wheels, unknown = _wheels(solved[name], asked["cache"])
            of_wheels = clashes.require_told_of_wheels(environment, wheels)
        except (OSError, ValueError, WheelsFailed) as error:
            raise Failed({name: str(error)}) from error
        told[name] = clashes.in_words(owners[name] | of_wheels) + unknown
        brought = {
            path for each in (*environment, *wheels) for path in (*each.targets, *each.commands)
        }
        commands[name] = sorted(
            paths.basename(path) for path in brought if paths.dirname(path) == COMMANDS
        )
    return {"commands": commands, "clashes": told}


def _wheels(environment: Solved, cache: str) -> tuple[list[Contents], list[str]]:
    """Return what the wheels of an environment bring, and what to say where that is not known."""
    if not environment.wheels:
        return [], []
    from tierctl.deploy.engine.worker import unpacked  # which most environments do not need

    modules = members.modules_of(environment.records)
    found = {
        wheel: unpacked.read(wheel, cache, modules) for wheel in sorted(environment.wheels, key=str)
    }
    far = [str(wheel) for wheel, contents in found.items() if contents is None]
    unknown = (
        f"what {', '.join(far)} will bring is known when it is fetched: deploy tells of clashes"
    )
    return [each for each in found.values() if each is not None], [unknown] if far else []
