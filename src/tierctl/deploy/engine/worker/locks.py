"""Lock files, in rattler's format: what was solved, with the sha256 of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rattler import Client, LockChannel, LockFile, LockPlatform
from rattler.lock import PypiLockedPackage

from tierctl.deploy.engine.worker import certificates
from tierctl.deploy.engine.worker.failures import Failed
from tierctl.deploy.engine.worker.solving import Environments, Solved
from tierctl.deploy.engine.worker.wheels import Wheel

# A lock file is of one environment, which it calls so.
_ENVIRONMENT = "default"


def read(asked: dict[str, Any]) -> Environments:
    """Take for solved what lock files record; raises ``Failed``."""
    found = {name: _read(name, path, asked["subdir"]) for name, path in asked["locks"].items()}
    urls = [record.url for each in found.values() for record in each.records]
    certificates.begun(Client.default_client, [] if asked["offline"] else urls)
    return found


def _read(name: str, path: str, subdir: str) -> Solved:
    try:
        locked = LockFile.from_path(Path(path)).environment(_ENVIRONMENT)
    except Exception as error:
        raise Failed({name: f"{path}: {error}"}) from error
    found = locked and locked.conda_repodata_records().get(subdir)
    if not locked or not found:
        raise Failed({name: f"{path} locks nothing for {subdir}"})
    bare = [record.file_name for record in found if record.sha256 is None]
    if bare:
        raise Failed({name: f"{path} has no sha256 of {', '.join(bare)}"})
    wheels = locked.pypi_packages().get(subdir, [])
    return Solved(found, list(map(_wheel, wheels)))


def write(asked: dict[str, Any], solved: Environments) -> None:
    """Write a lock file for each environment."""
    platform = LockPlatform(asked["subdir"])
    for name, path in asked["locks"].items():
        locked = LockFile([platform])
        locked.set_channels(_ENVIRONMENT, [LockChannel(url) for url in asked["channels"][name]])
        for record in solved[name].records:
            locked.add_conda_package(_ENVIRONMENT, platform, record)
        for wheel in solved[name].wheels:
            locked.add_pypi_package(_ENVIRONMENT, platform, wheel.name, wheel.version, wheel.url)
        if solved[name].wheels:
            _write_with_sha256(locked, path, solved[name].wheels)
        else:
            locked.to_path(Path(path))


def _write_with_sha256(locked: LockFile, path: str, wheels: list[Wheel]) -> None:
    """Write a lock file that says what each wheel's sha256 is: the engine's own does not."""
    import yaml  # which takes longer than most locks

    from tierctl.fs import tree

    by_url = {wheel.url: wheel.sha256 for wheel in wheels}
    with tree.scratch() as place:
        locked.to_path(Path(place, "lock"))
        lock = yaml.safe_load(Path(place, "lock").read_bytes())
    for package in lock["packages"]:
        if "pypi" in package:
            package["sha256"] = by_url[package["pypi"]]
    tree.write_new(path, yaml.safe_dump(lock, sort_keys=False).encode())


def _wheel(package: PypiLockedPackage) -> Wheel:
    if package.hashes is None or package.hashes.sha256 is None:
        raise Failed({package.name: "its lock has no sha256"})
    # A path is what file:// becomes where it is read.
    place = package.location
    url = Path(place).as_uri() if place.startswith("/") else place
    return Wheel(package.name, package.version, url, package.hashes.sha256.hex())
