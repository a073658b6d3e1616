"""Definitions: what is read from them, and that all that is wrong is told at once."""

import os
from pathlib import Path

import pytest

from tierctl.deploy import definitions
from tierctl.deploy.definitions import Definitions
from tierctl.deploy.definitions.environments import Environment
from tierctl.deploy.definitions.problems import BadDefinitions

PYTHON = "channels: [conda-forge]\ndependencies:\n  - python =3.11\n"


def wrong_spec(spec: str) -> str:
    return "no name" if spec.startswith("=") or not spec else ""


def write(directory: Path, **files: str) -> None:
    """Write files; ``__`` stands for a slash, ``_`` before the ending for its dot."""
    for name, text in files.items():
        stem, _, ending = name.replace("__", "/").rpartition("_")
        path = directory / f"{stem}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(directory: Path, subdir: str = "linux-64") -> Definitions:
    return definitions.read(str(directory), subdir, wrong_spec)


def problems(directory: Path, subdir: str = "linux-64") -> list[str]:
    with pytest.raises(BadDefinitions) as caught:
        read(directory, subdir)
    assert all(problem in caught.value.message for problem in caught.value.problems)
    return list(caught.value.problems)


class TestEnvironments:
    def test_a_file_is_an_environment(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            environments__python_yaml="name: science\nchannels:\n- conda-forge\n- file:///x\n"
            "dependencies:\n- python =3.11\n- numpy\n- pip:\n  - requests ==2\n",
        )
        (environment,) = read(tmp_path).environments
        assert (
            Environment(
                "science",
                environment.place,
                ("conda-forge", "file:///x"),
                ("python =3.11", "numpy"),
                ("requests ==2",),
            )
            == environment
        )

    def test_without_a_name_it_is_called_like_its_file(self, tmp_path: Path) -> None:
        write(tmp_path, environments__unix_yml=PYTHON)
        assert ["unix"] == [found.name for found in read(tmp_path).environments]

    @pytest.mark.parametrize(
        ("subdir", "names"),
        [
            ("linux-64", ["all", "linux", "linux64"]),
            ("linux-aarch64", ["all", "linux"]),
            ("osx-arm64", ["all", "mac"]),
        ],
    )
    def test_those_of_other_platforms_are_left_out(
        self, tmp_path: Path, subdir: str, names: list[str]
    ) -> None:
        write(
            tmp_path,
            environments__all_yaml=PYTHON,
            environments__linux__linux_yaml=PYTHON,
            environments__osx__mac_yaml=PYTHON,
        )
        write(tmp_path / "environments" / "linux-64", linux64_yaml=PYTHON)
        assert names == [found.name for found in read(tmp_path, subdir).environments]

    def test_they_come_on_path_by_name_or_as_listed(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            environments__a_yaml=PYTHON,
            environments__b_yaml=PYTHON,
            environments__c_yaml=PYTHON,
        )
        assert ["a", "b", "c"] == [found.name for found in read(tmp_path).environments]
        write(tmp_path, tierctl_toml='target = "/lab"\npath = ["c"]\n')
        assert ["c", "a", "b"] == [found.name for found in read(tmp_path).environments]


WRONG = {
    "name: x\nchannels: [a]\ndependencies: [b]\nprefix: /x\n": ":4: unknown key prefix",
    "channels: [a]\nchannels: [a]\ndependencies: [b]\n": ":2: channels is there twice",
    "channels: []\ndependencies: [b]\n": ":1: channels is empty",
    "channels: [a]\ndependencies:\n": ":2: dependencies has to be a list",
    "channels: [a]\n": ":1: dependencies are missing",
    "channels: a\ndependencies: [b]\n": ":1: channels has to be a list",
    "name: ../x\nchannels: [a]\ndependencies: [b]\n": ":1: '../x' cannot be a name",
    "name: -x\nchannels: [a]\ndependencies: [b]\n": ":1: '-x' cannot be a name",
    f"name: {'x' * 25}\nchannels: [a]\ndependencies: [b]\n": "cannot be a name",
    "name: [x]\nchannels: [a]\ndependencies: [b]\n": ":1: has to be text",
    "channels: [a]\ndependencies:\n- b\n- '=1'\n": ":4: '=1' is no match spec: no name",
    "channels: [a]\ndependencies:\n- b\n- pip: [x]\n": ":3: the pip section needs python",
    "channels: [a]\ndependencies:\n- python\n- pip: []\n": ":4: pip is empty",
    "channels: [a]\ndependencies:\n- python\n- pip: [-e .]\n": ":4: '-e .' is none of the options",
    "channels: [a]\ndependencies:\n- python\n- pip: [-r x.txt]\n": "is none of the options",
    "channels: [a]\ndependencies:\n- python\n- pip: [-i x]\n": ":4: '-i x' is no index",
    "channels: [a]\ndependencies:\n- python\n- pip: ['-i http://u:p@x']\n": "holds a password",
    "channels: [a]\ndependencies:\n- python\n- pip: [--no-index]\n": "asks for nothing",
    "channels: [a]\ndependencies:\n- python\n- pip: ['x >>1']\n": ":4: 'x >>1' is no requirement",
    'channels: [a]\ndependencies:\n- python\n- pip: ["x\\n-e ."]\n': "is no requirement",
    "channels: [a]\ndependencies:\n- python\n- pip: ['x @ git+https://x']\n": "is at no URL",
    "channels: [a]\ndependencies:\n- python\n- npm: [x]\n": ":4: unknown key npm",
    "channels: ['-x']\ndependencies: [b]\n": ":1: '-x' is no channel",
    "channels: ['https://u:p@x/y']\ndependencies: [b]\n": ":1: 'https://u:p@x/y' holds a password",
    "channels: ['https://x/t/tk-1/y']\ndependencies: [b]\n": "holds a token",
    "channels: [t/tk-1/y]\ndependencies: [b]\n": "holds a token",
    "channels: ['https://x/y?X-Amz-Signature=1']\ndependencies: [b]\n": "holds a token",
    "channels: [a]\ndependencies: ['https://u:p@x/y::b']\n": "holds a password",
    "channels: [a]\ndependencies: ['https://x/t/tk-1/y/noarch/b-1-0.conda']\n": "holds a token",
    "channels: [a]\ndependencies:\n- python\n- pip: ['-i https://x/s?token=1']\n": "holds a token",
    "channels: [a]\ndependencies:\n- python\n- pip: ['x @ https://t@x/x-1-py3-none-any.whl']\n": (
        "holds a password"
    ),
    "channels: ['~/channel']\ndependencies: [b]\n": ":1: '~/channel' holds a home (~)",
    "channels: ['~ada/channel']\ndependencies: [b]\n": "holds a home",
    "channels: ['~']\ndependencies: [b]\n": "holds a home",
    "channels: ['file://~/channel']\ndependencies: [b]\n": "holds a home",
    "channels: ['file:~/channel']\ndependencies: [b]\n": "holds a home",
    "channels: [$HOME/channel]\ndependencies: [b]\n": "holds a variable",
    "channels: ['https://${HOST}/channel']\ndependencies: [b]\n": "holds a variable",
    "channels: [a]\ndependencies: ['~/channel::b']\n": ":2: '~/channel::b' holds a home",
    "channels: [a]\ndependencies:\n- python\n- pip: ['-f ~/wheels', x]\n": ":4: '-f ~/wheels' hol",
    "channels: [a]\ndependencies:\n- python\n- pip: [--find-links=~/wheels, x]\n": "holds a home",
    "channels: [a]\ndependencies:\n- python\n- pip: ['-i https://${HOST}/simple', x]\n": (
        "holds a variable"
    ),
    "channels: [a]\ndependencies:\n- python\n- pip: ['x @ file://~/x-1-py3-none-any.whl']\n": (
        "holds a home"
    ),
    "channels: [a\ndependencies: [b]\n": ": no valid YAML: ",
    "- x\n": ": holds no environment",
    "": ": holds no environment",
    "a: &a [*a]\n": ":1: unknown key a",
    "[" * 5000: "cannot be read as YAML",
    "!!python/object:os.system x\n": "holds no environment",
}


class TestWrongEnvironments:
    def test_a_path_that_is_too_long_for_conda_is_told(self, tmp_path: Path) -> None:
        write(tmp_path, environments__python_yaml=PYTHON)
        definitions.read(str(tmp_path), "linux-64", wrong_spec, "/" + "x" * 247)
        with pytest.raises(BadDefinitions, match=r"python\.yaml:1: its path would be 1 bytes too"):
            definitions.read(str(tmp_path), "linux-64", wrong_spec, "/" + "x" * 248)

    @pytest.mark.parametrize(
        ("prefixes", "wrong"),
        [
            ("/a\udcff", "would not be UTF-8"),
            ("/a\\b", "has a backslash"),
            ("/a $b", "a shell reads that"),
            (f"/{'x' * 110}`", "a shell reads that"),
            (f'/{"x" * 110}"', "a shell reads that"),
        ],
    )
    def test_a_path_at_which_commands_would_not_start_is_told(
        self, tmp_path: Path, prefixes: str, wrong: str
    ) -> None:
        write(tmp_path, environments__python_yaml=PYTHON)
        with pytest.raises(BadDefinitions, match=rf"python\.yaml:1: its path .*{wrong}"):
            definitions.read(str(tmp_path), "linux-64", wrong_spec, prefixes)

    @pytest.mark.parametrize(
        "prefixes", ["/a$b", '/a"b', "/a`b", "/a 'b", "/a#%?&|;é", "/" + "x" * 200]
    )
    def test_any_other_path_will_do(self, tmp_path: Path, prefixes: str) -> None:
        write(tmp_path, environments__python_yaml=PYTHON)
        definitions.read(str(tmp_path), "linux-64", wrong_spec, prefixes)

    @pytest.mark.parametrize("text", WRONG)
    def test_each_kind_is_told_with_its_line(self, tmp_path: Path, text: str) -> None:
        write(tmp_path, environments__x_yaml=text)
        found = problems(tmp_path)
        assert any(WRONG[text] in problem for problem in found), found
        assert all(problem.startswith("environments/x.yaml") for problem in found)

    def test_all_of_them_are_told_at_once(self, tmp_path: Path) -> None:
        write(
            tmp_path,
            environments__a_yaml="channels: []\ndependencies: []\nx: 1\n",
            environments__b_yaml="channels: [",
            tierctl_toml="paht = 1\n",
        )
        assert 5 == len(problems(tmp_path))

    def test_two_files_cannot_make_one_environment(self, tmp_path: Path) -> None:
        write(
            tmp_path, environments__a_yaml=PYTHON, environments__linux__b_yaml="name: a\n" + PYTHON
        )
        (problem,) = problems(tmp_path)
        assert problem.startswith("environments/linux/b.yaml:1: makes the environment a, which")

    def test_what_is_no_environment_or_platform_is_told(self, tmp_path: Path) -> None:
        write(tmp_path, environments__windows__a_yaml=PYTHON, environments__notes_txt="x")
        assert [
            "environments/notes.txt: is no environment: its name does not end in .yaml",
            "environments/windows: is no platform: linux, osx, or a conda subdir such as linux-64",
        ] == sorted(problems(tmp_path))

    def test_nothing_at_all_is_told(self, tmp_path: Path) -> None:
        (problem,) = problems(tmp_path)
        assert "holds neither environments/*.yaml nor tier/" in problem

    @pytest.mark.parametrize("text", ["\xff", "x: \x00\n"])
    def test_what_is_no_text_is_told(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "environments").mkdir()
        (tmp_path / "environments" / "x.yaml").write_bytes(text.encode("latin-1"))
        (problem,) = problems(tmp_path)
        assert "cannot be read as YAML" in problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("path = 'a'", "path has to be a list"),
        ("path = ['../a']", "path has to be a list of environments"),
        ("path = ['b']", "path lists b, but no file makes that environment"),
        ("path = ['a', 'a']", "path lists an environment twice"),
        ("colour = 1", "unknown setting colour"),
        ("path = [", "no valid TOML"),
    ],
)
def test_wrong_settings_are_told(tmp_path: Path, text: str, problem: str) -> None:
    write(tmp_path, environments__a_yaml=PYTHON, tierctl_toml=text)
    (found,) = problems(tmp_path)
    assert found.startswith(f"tierctl.toml: {problem}")


class TestOverlay:
    @pytest.fixture
    def tier(self, tmp_path: Path) -> Path:
        for name in ("bin", "etc/profile.d"):
            (tmp_path / "tier" / name).mkdir(parents=True)
        (tmp_path / "tier" / "bin" / "hello").write_text("#!/bin/sh\n")
        (tmp_path / "tier" / "bin" / "hello").chmod(0o755)
        return tmp_path / "tier"

    def test_it_is_listed_with_directories_first(self, tmp_path: Path, tier: Path) -> None:
        (tier / "bin" / "hi").symlink_to("hello")
        items = read(tmp_path).overlay
        assert ["bin", "bin/hello", "bin/hi", "etc", "etc/profile.d"] == [i.path for i in items]
        assert [None, None, "hello", None, None] == [item.link for item in items]
        assert [True, False, False, True, True] == [item.is_directory for item in items]
        assert 0o755 == items[1].mode & 0o777

    @pytest.mark.parametrize(
        "text", ["/etc/passwd", "../../secret", "../..", "../bin/../../x", "loop"]
    )
    def test_a_link_that_leaves_it_is_refused(self, tmp_path: Path, tier: Path, text: str) -> None:
        (tier / "bin" / "out").symlink_to(text)
        if text == "loop":
            (tmp_path / "elsewhere").mkdir()
            (tier / "bin" / "loop").symlink_to("../../elsewhere")
        assert any("tier/bin/out" in problem for problem in problems(tmp_path))

    def test_a_link_within_it_is_kept(self, tmp_path: Path, tier: Path) -> None:
        (tier / "etc" / "commands").symlink_to("../bin")
        assert "../bin" in [item.link for item in read(tmp_path).overlay]

    @pytest.mark.parametrize(
        "name", ["etc/profile.sh", "etc/condarc", "meta", "conda", "logs", "etc/profile.fish"]
    )
    def test_what_tierctl_writes_is_not_overwritten(
        self, tmp_path: Path, tier: Path, name: str
    ) -> None:
        (tier / name).write_text("mine")
        (problem,) = problems(tmp_path)
        assert problem == f"tier/{name}: tierctl writes that itself: choose another name"

    def test_a_fifo_is_refused(self, tmp_path: Path, tier: Path) -> None:
        os.mkfifo(tier / "bin" / "pipe")
        (problem,) = problems(tmp_path)
        assert "neither a file, nor a directory, nor a symlink" in problem

    def test_it_cannot_be_a_link_itself(self, tmp_path: Path) -> None:
        (tmp_path / "tier").symlink_to("/etc")
        (problem,) = problems(tmp_path)
        assert problem == "tier: has to be a directory"
