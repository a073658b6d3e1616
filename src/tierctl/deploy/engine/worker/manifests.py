"""Writing the manifest of a deployment, once its environments are known to be whole."""

from __future__ import annotations

from typing import Any

from tierctl.deploy.engine.worker.verifying import Verified
from tierctl.fs import listing, tree
from tierctl.fs.listing import Directory, Entry, Tree, Whole
from tierctl.target import manifest


def write(asked: dict[str, Any], verified: Verified, environments: Tree) -> str:
    """Write the manifest into the deployment that is held; return its sha256.

    ``environments`` is what was sealed, and ``verified`` what was found in it, with the sha256
    of what packages have brought; all else is read. Raises ``OSError``.
    """
    place = asked["environments"]
    with tree.held(asked["top"], tuple(asked["identity"])) as held:
        rest = _rest(asked)
        below = {f"{place}/{path}".rstrip("/"): found for path, found in environments.items()}
        known = {f"{place}/{path}": sha256 for path, sha256 in verified.sha256s.items()}
        known |= rest.sha256s
        whole = listing.with_sha256s(f"{held.place}/.", rest.tree | below, known)
        return manifest.write(held, whole)


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
