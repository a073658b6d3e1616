"""Writing the manifest of a deployment, once its environments are known to be whole."""

from __future__ import annotations

from collections import Counter
from os import path as paths
from typing import Any

from tierctl import listing
from tierctl.deploy import sealing, tree
from tierctl.deploy.worker import verifying
from tierctl.deploy.worker.records import Records, list_records
from tierctl.manifest import Directory, Entry, Tree


def write(asked: dict[str, Any], records: Records, environments: Tree) -> str:
    """Write the manifest into the deployment that is held; return its sha256.

    ``environments`` is what was sealed. Packages tell the sha256 of what they brought;
    all else is read. Raises ``OSError``.
    """
    with tree.held(asked["top"], tuple(asked["identity"])) as held:
        top = f"{held.place}/{asked['environments']}"
        known = _known(asked, records, environments)
        whole = {
            paths.join(asked["environments"], path).rstrip("/"): directory
            for path, directory in listing.with_contents(top, environments, known).items()
        }
        return sealing.write_manifest(held, _rest(asked) | whole)


def _rest(asked: dict[str, Any]) -> Tree:
    """Return what the command has sealed itself, as it was sent."""
    return {
        path: Directory(mode, {name: Entry(*entry) for name, entry in names.items()})
        for path, (mode, names) in asked["rest"].items()
    }


def _known(asked: dict[str, Any], records: Records, environments: Tree) -> dict[str, str]:
    """Return what packages tell of files that they alone have brought."""
    known: dict[str, str] = {}
    owners: Counter[str] = Counter()
    for name, prefix in asked["prefixes"].items():
        for path in list_records(prefix):
            record = records.get(path)
            known[f"{name}/conda-meta/{paths.basename(path)}"] = record.sha256
            known |= {f"{name}/{file}": sha256 for file, sha256 in record.sha256s.items()}
            owners.update(f"{name}/{file}" for file in record.files)
        for file in verifying.files_of_wheels(prefix, environments, asked["wheels"][name]):
            owners.update([f"{name}/{file}"])
    shared = (path for path, count in owners.items() if count > 1)
    return {path: sha256 for path, sha256 in known.items() if path not in {*shared}}
