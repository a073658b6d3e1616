"""Writing the manifest of a deployment, once its environments are known to be whole."""

from __future__ import annotations

from os import path as paths
from typing import Any

from tierctl import listing
from tierctl.deploy import sealing, tree
from tierctl.deploy.worker import verifying
from tierctl.deploy.worker.records import Records, list_records
from tierctl.manifest import Directory, Entry, Tree, Whole


def write(asked: dict[str, Any], records: Records, environments: Tree) -> str:
    """Write the manifest into the deployment that is held; return its sha256.

    ``environments`` is what was sealed. Packages tell the sha256 of what they brought;
    all else is read. Raises ``OSError``.
    """
    place = asked["environments"]
    with tree.held(asked["top"], tuple(asked["identity"])) as held:
        rest = _rest(asked)
        below = {f"{place}/{path}".rstrip("/"): found for path, found in environments.items()}
        known = {**rest.sha256s, **_known(asked, records, environments)}
        whole = listing.with_sha256s(f"{held.place}/.", rest.tree | below, known)
        return sealing.write_manifest(held, whole)


def _rest(asked: dict[str, Any]) -> Whole:
    """Return what the command has sealed itself, as it was sent."""
    tree, sha256s = asked["rest"]
    return Whole(
        {
            path: Directory(mode, {name: Entry(*entry) for name, entry in names.items()})
            for path, (mode, names) in tree.items()
        },
        sha256s,
    )


def _known(asked: dict[str, Any], records: Records, environments: Tree) -> dict[str, str]:
    """Return what packages tell of files that they alone have brought."""
    known: dict[str, str] = {}
    shared: set[str] = set()
    for name, prefix in asked["prefixes"].items():
        above = f"{asked['environments']}/{name}/"
        brought: set[str] = set()
        for path in list_records(prefix):
            record = records.get(path)
            known[f"{above}conda-meta/{paths.basename(path)}"] = record.sha256
            known |= {above + file: sha256 for file, sha256 in record.sha256s.items()}
            shared.update(above + file for file in brought.intersection(record.files))
            brought.update(record.files)
        wheels = verifying.files_of_wheels(prefix, environments, asked["wheels"][name])
        shared.update(above + file for file in wheels)
    return {path: sha256 for path, sha256 in known.items() if path not in shared}
