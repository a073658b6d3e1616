"""Manifests: written and read again, and what they are compared with."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierctl.fs import listing
from tierctl.fs.listing import Directory, Entry, Whole
from tierctl.fs.local import OsFileSystem
from tierctl.report import verify
from tierctl.rotation.state import Content
from tierctl.target import manifest
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tools import require_tool

# What a name can be: any bytes but a slash and NUL, which Python tells as lone surrogates.
NAMES = (
    st.binary(min_size=1, max_size=12)
    .filter(lambda name: not {0, 47} & {*name} and name not in (b".", b".."))
    .map(os.fsdecode)
)
FILES = st.builds(
    Entry,
    st.sampled_from([stat.S_IFREG | 0o444, stat.S_IFREG | 0o555, stat.S_IFREG | 0o4755]),
    st.integers(0, 1 << 50),
    st.just(""),
)
LINKS = st.builds(Entry, st.just(stat.S_IFLNK | 0o777), st.just(0), NAMES)
DIRECTORIES = st.builds(
    Directory,
    st.sampled_from([stat.S_IFDIR | 0o555, stat.S_IFDIR | 0o755]),
    st.dictionaries(NAMES, FILES | LINKS, max_size=3),
)


@st.composite
def wholes(draw: st.DrawFn) -> Whole:
    """Return a tree, each of whose directories is in another one, and what its files hold."""
    places = [""]
    for _ in range(draw(st.integers(0, 5))):
        above = draw(st.sampled_from(places))
        places.append(f"{above}/{draw(NAMES)}".removeprefix("/"))
    tree = {place: draw(DIRECTORIES) for place in dict.fromkeys(places)}
    digests = st.text("0123456789abcdef", min_size=64, max_size=64)
    return Whole(
        tree,
        {
            f"{place}/{name}".removeprefix("/"): draw(digests)
            for place, directory in tree.items()
            for name, entry in directory.names.items()
            if entry.is_file
        },
    )


@given(wholes())
def test_any_tree_is_read_as_it_was_written(whole: Whole) -> None:
    text = manifest.to_text(whole)
    assert whole == manifest.from_text(text)
    again = whole._replace(tree=dict(sorted(whole.tree.items(), reverse=True)))
    assert text == manifest.to_text(again)


@given(wholes(), st.data())
def test_an_outline_tells_all_but_what_files_hold(whole: Whole, data: st.DataObject) -> None:
    text = manifest.to_text(whole)
    assert manifest.outline(whole.tree) == manifest.outline_in(text)
    path = data.draw(st.sampled_from(sorted(whole.tree)))
    mode, names = whole.tree[path]
    changes = [Directory(mode ^ 0o200, names), Directory(mode, {**names, "new": Entry(0o100444)})]
    for name, entry in names.items():
        changes.append(Directory(mode, {each: names[each] for each in names if each != name}))
        changes.append(Directory(mode, {**names, name: entry._replace(mode=entry.mode ^ 0o200)}))
        changes.append(Directory(mode, {**names, name: entry._replace(size=entry.size + 1)}))
        changes.append(Directory(mode, {**names, name: entry._replace(link=entry.link + "x")}))
    for changed in filter(whole.tree[path].__ne__, changes):
        assert manifest.outline({**whole.tree, path: changed}) != manifest.outline_in(text)


@given(st.sampled_from([b"", b"#mtree\n#\n/set type=file mode=0444\n"]), st.binary(max_size=60))
def test_what_is_no_manifest_is_told(head: bytes, data: bytes) -> None:
    try:
        manifest.from_text(head + data)
    except (ValueError, LookupError):
        return


@pytest.mark.parametrize("text", [b"", b"{}", b"\xff\n", b"#mtree\n", b"#mtree\n/set x\n"])
def test_a_file_that_is_none_is_a_bad_file(tmp_path: Path, text: bytes) -> None:
    layout = Layout(str(tmp_path))
    path = Path(layout.manifest("deployments/4"))
    path.parent.mkdir(parents=True)
    path.write_bytes(text)
    found = verify.verify(Target(OsFileSystem(), layout), Content.of_deployment(4))
    (difference,) = found.differences
    assert "meta/manifest: is no manifest" in difference.found


def test_mtree_reads_it_too(tmp_path: Path) -> None:
    """The program of NetBSD, and what it reports for a file that was changed."""
    require_tool("mtree")
    top = tmp_path / "41"
    (top / "meta").mkdir(parents=True)
    for name in ("plain", "a b", "c#d", "e\\f", "g*[?", "ünï", "-x", "=y"):
        (top / "meta" / name).write_text(name)
    (top / "link to").symlink_to("meta/a b")
    tree, errors = listing.read(str(top))
    assert not errors
    text = manifest.to_text(listing.with_sha256s(str(top), tree, {}))
    (tmp_path / "manifest").write_bytes(text)
    command = ["mtree", "-p", str(top), "-f", str(tmp_path / "manifest")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)
    (top / "meta" / "a b").write_text("b a")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode
    assert "sha256" in done.stdout


class TestListing:
    def test_no_link_is_followed(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "elsewhere" / "file").touch()
        (tmp_path / "top").mkdir()
        (tmp_path / "top" / "link").symlink_to("../elsewhere")
        tree, _ = listing.read(str(tmp_path / "top"))
        assert {""} == tree.keys()
        assert "../elsewhere" == tree[""].names["link"].link

    def test_a_directory_that_cannot_be_read_hides_no_other(self, tmp_path: Path) -> None:
        deep = tmp_path.joinpath(*20 * ["d" * 250])
        here = os.open(tmp_path, os.O_RDONLY)
        for _ in range(20):
            os.mkdir("d" * 250, dir_fd=here)
            below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(here)
        (tmp_path / "file").touch()
        tree, errors = listing.read(str(tmp_path))
        assert "file" in tree[""].names
        ((path, error),) = errors.items()
        assert str(deep).startswith(str(tmp_path / path))
        assert "File name too long" == error.strerror

    def test_a_file_that_cannot_be_read_is_an_error(self, tmp_path: Path) -> None:
        tree = {"": Directory(stat.S_IFDIR | 0o555, {"gone": Entry(stat.S_IFREG | 0o444)})}
        with pytest.raises(FileNotFoundError) as caught:
            listing.with_sha256s(str(tmp_path), tree, {})
        assert "gone" == caught.value.filename

    def test_what_is_known_is_not_read(self, tmp_path: Path) -> None:
        tree = {"a": Directory(stat.S_IFDIR | 0o555, {"gone": Entry(stat.S_IFREG | 0o444)})}
        known = {"a/gone": "known"}
        assert (tree, known) == listing.with_sha256s(str(tmp_path), tree, known)
