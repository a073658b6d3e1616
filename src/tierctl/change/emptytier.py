"""The empty tier: the deployment that both colors of a new target show."""

from __future__ import annotations

from os import path as paths

from tierctl import profiles
from tierctl.fs import listing, sealing, tree
from tierctl.journal import store
from tierctl.journal.events import Built
from tierctl.rotation.names import META, TIER_DIRECTORIES
from tierctl.rotation.state import Content
from tierctl.target import finishing, manifest, packages, record
from tierctl.target.groups import Group
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author

NUMBER = 1
CONTENT = Content.of_deployment(NUMBER)


def build(target: Target, work: Layout, author: Author, group: Group | None) -> Built:
    """Build the empty tier of a target below ``work``, where its infrastructure is built.

    It is finished as every deployment is; what a killed bootstrap has built of it goes.
    Returns what was built. Raises ``OSError``.
    """
    top = work.within(CONTENT.directory)
    tree.take_apart(top)
    mode = store.own_directory_mode(shared=group is not None)
    gid = None if group is None else group.gid
    for path in (top, *(paths.join(top, name) for name in TIER_DIRECTORIES)):
        target.fs.make_directory(path, mode, group=gid)
    for name, text in profiles.files(target, CONTENT.directory).items():
        target.fs.write(
            paths.join(top, "etc", name), text.encode("utf-8", "surrogateescape"), mode=0o644
        )
    nothing = finishing.encoded(packages.to_document({}))
    target.fs.write(work.packages_record(CONTENT.directory), nothing, mode=0o644)
    with tree.held(top) as held:
        whole = listing.with_sha256s(f"{held.place}/.", sealing.seal(held, left_open=META), {})
        listed = manifest.to_text(manifest.with_itself(whole))
        target.fs.write(work.manifest(CONTENT.directory), listed, mode=0o644)
        finishing.finish(target.fs, held, _facts(author))
    return Built(NUMBER, manifest.digest(listed))


def _facts(author: Author) -> dict[str, object]:
    return {**finishing.facts_of(NUMBER, author, {}), "files": record.NO_FILES}
