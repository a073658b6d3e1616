"""The empty tier: the deployment that both colors of a new target show."""

from __future__ import annotations

from os import path as paths

from tierctl import control, packages, profiles, record
from tierctl.deploy import finishing, tree
from tierctl.events import Author
from tierctl.filesystem import FileSystem
from tierctl.groups import Group
from tierctl.layout import META, TIER_DIRECTORIES, Layout
from tierctl.rotation import Content

NUMBER = 1
CONTENT = Content.of_deployment(NUMBER)


def build(
    fs: FileSystem, layout: Layout, work: Layout, author: Author, group: Group | None
) -> None:
    """Build the empty tier of a target below ``work``, where its infrastructure is built.

    It is finished as every deployment is. What a killed bootstrap has built of it goes.
    """
    top = work.within(CONTENT.directory)
    tree.take_apart(top)
    mode = control.own_directory_mode(shared=group is not None)
    gid = None if group is None else group.gid
    for path in (top, *(paths.join(top, name) for name in TIER_DIRECTORIES)):
        fs.make_directory(path, mode, group=gid)
    for name, text in profiles.files(layout, CONTENT.directory).items():
        fs.write(paths.join(top, "etc", name), text.encode("utf-8", "surrogateescape"), mode=0o644)
    listed = finishing.encoded(packages.to_document({}))
    fs.write(work.packages_record(CONTENT.directory), listed, mode=0o644)
    with tree.held(top) as held:
        tree.seal(held, left_open=META)
        finishing.finish(fs, held, _facts(author))


def _facts(author: Author) -> dict[str, object]:
    return {**finishing.facts_of(NUMBER, author, {}), "files": record.NO_FILES}
