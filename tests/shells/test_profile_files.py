"""The text of a tier's files."""

import json
from pathlib import Path

import pytest

from shell_driver import SHELLS, Shell, expected, loaded, make_loadable, run
from tierctl import profiles
from tierctl.target.paths import Layout

HOSTILE = (
    """it's a "quote" ''""",
    "$HOME ${x} $(date) `date`",
    "! !! !x ^a^b back\\slash\\\\ end\\",
    "* ? [a] {b,c} ~ ; & | < > ( ) # % = ,",
    "ünï ☃ 日本",
    "@IAC_DIR@",
    "-n",
)


def test_every_file_is_made_and_no_placeholder_is_left() -> None:
    files = profiles.files(Layout("/sw/infrastructure"), "deployments/41")
    assert {"profile.sh", "profile.fish", "profile.csh", "condarc"} == set(files)
    assert not [name for name, text in files.items() if "@IAC" in text]


def test_condarc_names_the_shared_cache_and_the_tiers_own_environments() -> None:
    text = profiles.files(Layout('/s "w"ü/infrastructure'), "blue")["condarc"]
    keys, items = text.splitlines()[::2], text.splitlines()[1::2]
    assert ["pkgs_dirs:", "envs_dirs:"] == keys
    assert ['/s "w"ü/conda_package_cache', '/s "w"ü/infrastructure/blue/conda/envs'] == [
        json.loads(item.removeprefix("  - ")) for item in items
    ]


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell.name)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_target_of_any_name_is_loaded_as_it_is_spelled(
    shell: Shell, name: str, tmp_path: Path
) -> None:
    layout = make_loadable(tmp_path / name)
    done = run(shell, shell.source() + "iac_load staging", layout, tmp_path)
    assert expected(layout, "deployments/42", "staging", "/usr/bin:/bin") == loaded(done)
    assert "" == done.out + done.err
