"""Building a deployment: in its final place, whole, sealed, and then finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tierctl import profiles
from tierctl.deploy import git, records, shells, variables
from tierctl.deploy.definitions import overlay
from tierctl.deploy.definitions.overlay import Item
from tierctl.deploy.engine.client import Engine, Verified
from tierctl.deploy.engine.progress import Step
from tierctl.deploy.wanted import Build, digest, files_digest
from tierctl.fs import listing, sealing, tree
from tierctl.fs.listing import Whole
from tierctl.fs.tree import Held
from tierctl.rotation.names import DEPLOYMENTS, ENVIRONMENTS, META, TIER_DIRECTORIES
from tierctl.target import finishing, packages
from tierctl.target.packages import Package
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.text import shown


def build(
    target: Target,
    number: int,
    wanted: Build,
    engine: Engine,
    begun: Callable[[Step, str], None],
) -> Verified:
    """Build a deployment in the empty directory of its number; ``begun`` hears of each step.

    It is finished when the record is there, which is written last. Raises
    ``EngineFailed``, ``Incomplete`` or ``OSError``: then it is good for nothing.
    Built with it, the engine has ended.
    """
    with tree.held(target.within(f"{DEPLOYMENTS}/{number}")) as held:
        return _build(target, number, held, wanted, engine, begun)


def _build(
    target: Target,
    number: int,
    held: Held,
    wanted: Build,
    engine: Engine,
    begun: Callable[[Step, str], None],
) -> Verified:
    """Build it in the directory that is held, even if somebody puts something else in its place.

    The engine needs the path that the deployment will have, and is kept to the
    target by the kernel. Shells need it too, and run what they find there: that it
    is still the deployment is looked at right before (SECURITY.md).
    """
    directory = f"{DEPLOYMENTS}/{number}"
    begun(Step.BUILD, f"deployment {number}")
    tree.make_directories(held.place, (*TIER_DIRECTORIES, f"{META}/locks"))
    sealing.keep_to_owner(held, ENVIRONMENTS)  # packages may let their group write
    prefixes = {name: f"{held.top}/{ENVIRONMENTS}/{name}" for name in wanted.packages}
    locks = {name: target.lock_record(directory, name) for name in wanted.packages}
    known: dict[str, Any] = {}
    rest = Whole({}, {})
    warnings: list[str] = []

    def while_linking() -> None:
        known["git"], warning = git.state(target, wanted.definitions.directory, engine.timeout)
        warnings.extend(filter(None, [warning]))
        _write_the_rest(held.place, wanted)

    def while_sealing() -> None:
        nonlocal rest
        warnings.extend(_write_profiles(target, directory, held, wanted))
        rest = _seal_the_rest(held, wanted.definitions.overlay)
        below = {name: f"{ENVIRONMENTS}/{name}" for name in prefixes}
        rest = rest._replace(sha256s={**rest.sha256s, **records.sha256s(held, below)})

    known["engine"], clashes = engine.install(prefixes, locks, while_linking)
    warnings += clashes
    begun(Step.CHECK, f"deployment {number}")
    engine.seal(held, while_sealing)
    tree.require_in_place(held)

    def while_verifying() -> None:
        warnings.extend(shells.profiles_load(held.top, engine.timeout))

    verified = engine.verify(held, prefixes, wanted.packages, rest, while_verifying)
    engine.dismiss()
    tree.flush(held.place)
    said = warnings + verified.warnings
    finishing.finish(target.fs, held, _record(number, wanted, said, **known))
    return verified._replace(warnings=said)


def _seal_the_rest(held: Held, copied: Iterable[Item]) -> Whole:
    """Seal a tree but for its environments, which the engine seals meanwhile."""
    rest = sealing.seal(held, left_open=META, left_out=ENVIRONMENTS)
    tree.flush(held.place)  # so that there is little left to flush at the end
    known = {each.path: each.sha256 for each in copied if each.is_file}
    return listing.with_sha256s(f"{held.place}/.", rest, known)


def _write_the_rest(place: str, wanted: Build) -> None:
    """Write what is not the engine's: the overlay, logs, the packages."""
    overlay.copy(wanted.definitions.overlay, place)
    _write_logs(place, wanted)
    listed = packages.to_document(wanted.packages)
    tree.write_new(f"{place}/{META}/packages.json", finishing.encoded(listed))


def _write_profiles(layout: Layout, directory: str, held: Held, wanted: Build) -> list[str]:
    """Write what shells read, with the variables of the environments; return warnings."""
    names = [environment.name for environment in wanted.definitions.environments]
    values, warnings = variables.read(held, ENVIRONMENTS, names)
    for name, text in profiles.files(layout, directory, names, values).items():
        encoded = text.encode("utf-8", "surrogateescape")
        tree.write_new(f"{held.place}/etc/{name}", encoded)
    return warnings


def _write_logs(place: str, wanted: Build) -> None:
    """Say for each environment what was asked for, and what is installed."""
    for environment in wanted.definitions.environments:
        lines = [
            f"environment {environment.name}, from {environment.place}",
            *(f"channel {channel}" for channel in environment.channels),
            *(f"wanted {spec}" for spec in environment.specs),
            *(f"wanted of pip {line}" for line in environment.pip),
            *(f"install {_described(each)}" for each in sorted(wanted.packages[environment.name])),
        ]
        text = "".join(f"{shown(line)}\n" for line in lines)
        tree.write_new(f"{place}/logs/{environment.name}.log", text.encode())


def _described(package: Package) -> str:
    source = f"{package.channel}/{package.subdir}" if package.channel else "the index"
    words = filter(None, (package.name, package.version, package.build))
    return f"{' '.join(words)} from {source}, sha256 {package.sha256}"


def _record(
    number: int, wanted: Build, warnings: list[str], git: dict[str, Any] | None, engine: str
) -> dict[str, Any]:
    counts = {name: len(found) for name, found in wanted.packages.items()}
    return {
        **finishing.facts_of(number, wanted.author, counts),
        "definitions": {"path": wanted.definitions.directory, "git": git},
        "digest": digest(wanted.definitions),
        "files": files_digest(wanted.definitions),
        "warnings": warnings,
        "engine": engine,
    }
