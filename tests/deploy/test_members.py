"""What a package brings into a prefix, and which members must not be linked."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierctl.deploy.engine.worker import members, outside
from tierctl.deploy.engine.worker.members import Contents, Kind, Member

MODULES = "lib/python3.12/site-packages"
PREFIX = "/software/lab/infrastructure/deployments/4/conda/envs/tools"


def extracted(place: Path, *paths: str, links: dict[str, str] | None = None, **info: object) -> str:
    """Write an extracted archive with files and links; ``info`` are its JSON documents."""
    links = links or {}
    for path in paths:
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).touch()
    for path, leads_to in links.items():
        (place / path).parent.mkdir(parents=True, exist_ok=True)
        (place / path).symlink_to(leads_to)
    listed = [
        *({"_path": path, "path_type": "hardlink", "size_in_bytes": 0} for path in paths),
        *({"_path": path, "path_type": "softlink"} for path in links),
    ]
    documents = {"paths": {"paths_version": 1, "paths": listed}, **info}
    (place / "info").mkdir(parents=True, exist_ok=True)
    for name, document in documents.items():
        (place / "info" / f"{name}.json").write_text(json.dumps(document))
    return str(place)


def package(name: str, *paths: str, links: dict[str, str] | None = None) -> Contents:
    """Return the contents of a package, which is nowhere."""
    links = links or {}
    listed = [
        *({"_path": path, "path_type": "hardlink"} for path in paths),
        *({"_path": path, "path_type": "softlink"} for path in links),
    ]
    every = [*paths, *links]
    return Contents(name, "", every, every, listed, links, [], [])


def wrong(*environment: Contents) -> list[tuple[str, str]]:
    """Return the package and the path of each member that must not be linked."""
    return [(each.package, each.member) for each in outside.of_all(environment, PREFIX)]


class TestReading:
    def test_files_and_links_are_told(self, tmp_path: Path) -> None:
        found = members.of_extracted(
            "a", extracted(tmp_path, "bin/a", links={"lib/b": "../bin/a"}), MODULES
        )
        assert [Member("bin/a", Kind.FILE, "", 0), Member("lib/b", Kind.LINK)] == [*found.members()]
        assert {"lib/b": "../bin/a"} == found.links

    def test_modules_for_any_python_go_to_that_of_the_environment(self, tmp_path: Path) -> None:
        info = {
            "index": {"noarch": "python"},
            "link": {"noarch": {"type": "python", "entry_points": ["greet = greet:main"]}},
        }
        place = extracted(tmp_path, "site-packages/greet.py", "python-scripts/x", **info)
        found = members.of_extracted("greet", place, MODULES)
        assert [f"{MODULES}/greet.py", "bin/x"] == found.targets
        assert ["bin/greet"] == list(found.commands)

    def test_a_package_that_is_for_one_python_keeps_such_a_path(self, tmp_path: Path) -> None:
        place = extracted(tmp_path, "site-packages/x.py", index={})
        assert ["site-packages/x.py"] == members.of_extracted("x", place, MODULES).targets

    def test_an_older_package_lists_its_files_in_another_way(self, tmp_path: Path) -> None:
        place = extracted(tmp_path, "bin/a", links={"lib/b": "../bin/a"})
        (tmp_path / "info/paths.json").unlink()
        (tmp_path / "info/files").write_text("bin/a\nlib/b\n")
        found = members.of_extracted("a", place, MODULES)
        assert (["bin/a", "lib/b"], {"lib/b": "../bin/a"}) == (found.targets, found.links)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"paths": 3}',
            '{"paths": [3]}',
            '{"paths": ["a"]}',
            '{"paths": [{"path_type": "hardlink"}]}',
            '{"paths": [{"_path": 3, "path_type": "hardlink"}]}',
            '{"paths": [{"_path": "a", "path_type": "device"}]}',
            '{"paths": [{"_path": "a", "path_type": []}]}',
            "[" * 100_000,
        ],
    )
    def test_what_is_no_list_of_paths_is_an_error(self, tmp_path: Path, text: str) -> None:
        place = extracted(tmp_path)
        (tmp_path / "info/paths.json").write_text(text)
        with pytest.raises(ValueError, match=r".*"):
            members.of_extracted("a", place, MODULES)

    def test_a_list_that_is_a_symlink_is_not_followed(self, tmp_path: Path) -> None:
        place = extracted(tmp_path / "place")
        (tmp_path / "place/info/paths.json").rename(tmp_path / "elsewhere")
        (tmp_path / "place/info/paths.json").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(OSError, match=r".*"):
            members.of_extracted("a", place, MODULES)


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "bin/two words",
            "share/Ünïcode/雪",
            "...",
            "a/..b/c..",
            ".hidden",
            "share/" + "n" * 255,
            "share/conda-meta/x.json",
            "conda-metadata/x",
            "back\\slash",
            "-rf",
        ],
    )
    def test_an_unusual_name_is_fine(self, path: str) -> None:
        assert [] == wrong(package("fine", "bin/a", path, "bin/b"))

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("", "no path"),
            ("/", "absolute"),
            ("/etc/passwd", "absolute"),
            ("..", "upwards"),
            ("../x", "upwards"),
            ("lib/../../x", "upwards"),
            ("lib/..", "upwards"),
            (".", "empty part"),
            ("./x", "empty part"),
            ("lib//x", "empty part"),
            ("lib/./x", "empty part"),
            ("lib/", "empty part"),
            ("a\nb", "control"),
            ("a\0b", "control"),
            ("a\x1b[2Jb", "control"),
            ("a\x7f", "control"),
            ("\ud800", "no text"),
            ("conda-meta", "engine's own"),
            ("conda-meta/history", "engine's own"),
            ("conda-meta/other-1-0.json", "engine's own"),
            ("Conda-Meta/other-1-0.json", "engine's own"),
            ("__clobbers__/x", "engine's own"),
            ("n" * 256, "too long"),
            ("雪" * 86, "too long"),
            ("/".join(["n" * 200] * 21), "too long"),
        ],
    )
    def test_an_odd_path_is_told_with_its_package(self, path: str, reason: str) -> None:
        (found,) = outside.of_all([package("p", "bin/a", path, "bin/b"), package("q", "x")], PREFIX)
        assert ("p", path) == (found.package, found.member)
        assert reason in str(found)

    def test_commands_of_entry_points_are_looked_at_too(self) -> None:
        contents = package("p", "x")._replace(commands={"bin/../../x": "x:main"})
        assert [("p", "bin/../../x")] == wrong(contents)

    def test_a_python_that_has_its_modules_elsewhere_is_told(self, tmp_path: Path) -> None:
        place = extracted(tmp_path, "site-packages/x.py", index={"noarch": "python"})
        found = members.of_extracted("p", place, "../../../elsewhere")
        assert [("p", "../../../elsewhere/x.py")] == wrong(found)


class TestLinks:
    @pytest.mark.parametrize(
        "leads_to",
        ["..", "../../../../green", "/", "/etc", "lib/../..", "./..", "lib/../../x", "L/x", "L"],
    )
    def test_nothing_is_linked_through_one_that_leads_out(self, leads_to: str) -> None:
        assert [("p", "L/x")] == wrong(package("p", "L/x", links={"L": leads_to}))

    def test_whichever_package_brings_it(self) -> None:
        packages = [package("p", "L/x"), package("q", links={"L": "/etc"})]
        assert [("p", "L/x")] == wrong(*packages) == wrong(*packages[::-1])

    def test_and_through_however_many(self) -> None:
        links = {"a": "b", "b": "c/d", "c/d": "../e", "e": "../.."}
        assert [("p", "a/x")] == wrong(package("p", "a/x", links=links))

    def test_whichever_of_two_links_is_there_in_the_end(self) -> None:
        packages = [package(n, links={"L": to}) for n, to in (("q", "lib"), ("r", ".."))]
        assert [("p", "L/x")] == wrong(*packages, package("p", "L/x"))

    def test_a_great_many_links_are_not_followed_for_ever(self) -> None:
        packages = [package(str(n), links={"L": f"L/{n}"}) for n in range(100)]
        assert [("p", "L/x")] == wrong(*packages, package("p", "L/x"))

    def test_a_link_out_of_a_directory_that_a_link_leads_to(self) -> None:
        """``..`` goes by where one is, not by how one got there."""
        assert [] == wrong(package("p", "L/x", links={"L": "a/b/M", "a/b/M": "../../share"}))
        links = {"L": "M/../..", "M": "a/b/c"}
        assert [] == wrong(package("p", "L/x", "a/b/c/y", links=links))
        links = {"L": "M/../..", "M": "a"}
        assert [("p", "L/x")] == wrong(package("p", "L/x", "a/y", links=links))

    def test_a_link_that_stays_inside_is_fine(self) -> None:
        assert [] == wrong(package("p", "L/x", "lib/y", links={"L": "lib", "lib64": "lib"}))

    def test_a_link_that_leads_out_and_is_nobodys_directory_is_fine(self) -> None:
        """Packages of drivers have such."""
        assert [] == wrong(package("p", "lib/x", links={"etc/vendors": "/etc/vendors"}))

    def test_no_link_leads_to_the_records(self) -> None:
        contents = package("p", "L/other-1-0.json", links={"L": "lib/../conda-meta"})
        assert [("p", "L/other-1-0.json")] == wrong(contents)

    def test_a_file_is_not_written_through_a_link_of_its_name(self) -> None:
        packages = [package("p", "x"), package("q", links={"x": "/etc/passwd"})]
        assert [("p", "x")] == wrong(*packages)

    def test_commands_are_not_written_through_links(self) -> None:
        commands = package("p", "x")._replace(commands={"bin/run": "x:main"})
        assert [("p", "bin/run")] == wrong(commands, package("q", links={"bin": "/usr/bin"}))

    def test_bytecode_is_not_written_through_links(self) -> None:
        links = {f"{MODULES}/pkg/__pycache__": "/var/cache"}
        assert [("p", f"{MODULES}/pkg/__pycache__")] == wrong(package("p", links=links))

    def test_both_packages_are_named(self) -> None:
        (found,) = outside.of_all([package("p", "L/x"), package("q", links={"L": "/etc"})], PREFIX)
        told = "it brings 'L/x': the symlink L -> /etc of q leads it out of the environment"
        assert ("p", told) == (found.package, str(found))


# Letters of what is odd, and what makes it so.
_ANY_PATH = st.text(st.sampled_from("aA./\n\t\x7f\udc80é-_cond met"), max_size=12)
_OF_THE_ENGINE = st.sampled_from(["conda-meta", "Conda-META/x", "__clobbers__/a", "c" * 300])


@given(st.lists(_ANY_PATH | _OF_THE_ENGINE, max_size=5))
def test_no_odd_path_is_overlooked_among_many(listed: list[str]) -> None:
    if any(outside._wrong_with(path, "/prefix") for path in listed):
        assert outside._are_suspect(listed)
