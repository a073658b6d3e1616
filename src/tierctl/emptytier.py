"""The empty tier: the deployment that both colors of a new target show."""

from __future__ import annotations

from os import path as paths

from tierctl import control, listing, manifest, packages, profiles, record
from tierctl.deploy import finishing, sealing, tree
from tierctl.events import Author, Built
from tierctl.filesystem import FileSystem
from tierctl.groups import Group
from tierctl.layout import META, TIER_DIRECTORIES, Layout
from tierctl.rotation import Content

NUMBER = 1
CONTENT = Content.of_deployment(NUMBER)


def build(
    fs: FileSystem, layout: Layout, work: Layout, author: Author, group: Group | None
) -> Built:
    """Build the empty tier of a target below ``work``, where its infrastructure is built.

    It is finished as every deployment is; what a killed bootstrap has built of it goes.
    Returns what was built. Raises ``OSError``.
    """
    top = work.within(CONTENT.directory)
    tree.take_apart(top)
    mode = control.own_directory_mode(shared=group is not None)
    gid = None if group is None else group.gid
    for path in (top, *(paths.join(top, name) for name in TIER_DIRECTORIES)):
        fs.make_directory(path, mode, group=gid)
    for name, text in profiles.files(layout, CONTENT.directory).items():
        fs.write(paths.join(top, "etc", name), text.encode("utf-8", "surrogateescape"), mode=0o644)
    nothing = finishing.encoded(packages.to_document({}))
    fs.write(work.packages_record(CONTENT.directory), nothing, mode=0o644)
    with tree.held(top) as held:
        whole = listing.with_sha256s(f"{held.place}/.", sealing.seal(held, left_open=META), {})
        listed = manifest.to_text(manifest.with_itself(whole))
        fs.write(work.manifest(CONTENT.directory), listed, mode=0o644)
        finishing.finish(fs, held, _facts(author))
    return Built(NUMBER, manifest.digest(listed))


def _facts(author: Author) -> dict[str, object]:
    return {**finishing.facts_of(NUMBER, author, {}), "files": record.NO_FILES}
