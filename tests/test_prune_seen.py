"""What a prune can see of the processes that use deployments, and what it does if it cannot."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from program import Ended, installed, run, run_installed
from targets import make_target
from tierctl.prune import processes
from tierctl.target.paths import Layout
from tools import as_user, missing, require_root, require_tool

ALL = ("--keep", "0", "--older-than", "0d")
UNSEEN = "nobody can see here which processes use a deployment"
ADA = 10051


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Production shows 2, staging 3; 1, 4 and 5 are there besides, 4 with a program."""
    layout = make_target(tmp_path / "lab", green=2, blue=3, deployments=(1, 4, 5))
    os.mkdir(f"{layout.deployments}/4/bin")
    shutil.copy(require_tool("sleep"), f"{layout.deployments}/4/bin/sleep")
    return layout


def there(layout: Layout) -> list[str]:
    return sorted(os.listdir(layout.deployments))


def prune(layout: Layout, *words: str) -> Ended:
    return run_installed("prune", "-t", layout.top, *words)


def within(script: str, *words: str, namespaces: tuple[str, ...] = ("-m",)) -> list[str]:
    """Return how to run a command in namespaces of its own, after a script of the shell."""
    require_root()
    return [require_tool("unshare"), *namespaces, "sh", "-ec", f'{script}\nexec "$@"', "sh", *words]


@contextmanager
def running(*command: str) -> Iterator[int]:
    """Have a command run that writes a line when it is ready."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield process.pid
        finally:
            process.kill()


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    (tmp_path / "elsewhere").mkdir()
    return str(tmp_path / "elsewhere")


class TestElsewhere:
    """The same deployment, seen by a process at another path."""

    @pytest.mark.parametrize(
        "use",
        [
            'cd "$there"; echo; exec sleep 60',
            'exec 3<"$there/bin/sleep"; echo; exec sleep 60',
            'echo; exec "$there/bin/sleep" 60',
            'export PATH="$there/bin:$PATH"; exec sh -c "echo; exec /bin/sleep 60"',
        ],
        ids=["working directory", "open file", "program", "environment"],
    )
    def test_a_target_that_is_mounted_elsewhere_counts(
        self, layout: Layout, elsewhere: str, use: str
    ) -> None:
        bind = f"mount --bind '{layout.top}' '{elsewhere}'"
        script = f"{bind}\nthere='{elsewhere}/infrastructure/deployments/4'\n{use}"
        with running(*within(script)) as pid:
            done = prune(layout, *ALL)
        assert (0, ["2", "3", "4"]) == (done.code, there(layout))
        assert f"deployment 4: kept: process {pid} uses it\n" in done.out

    def test_a_mount_of_a_part_of_it_counts_whether_or_not_somebody_is_in_there(
        self, layout: Layout, elsewhere: str
    ) -> None:
        script = f"mount --bind '{layout.deployments}/4/bin' '{elsewhere}'; echo"
        with running(*within(script, "sleep", "60")) as pid:
            done = prune(layout, *ALL)
        assert ["2", "3", "4"] == there(layout)
        assert f"kept: process {pid}, with the mount {elsewhere} uses it\n" in done.out

    def test_a_mount_of_this_host_counts(self, layout: Layout, elsewhere: str) -> None:
        script = f"mount --bind '{layout.deployments}/4' '{elsewhere}'"
        done = run(within(script, installed(), "prune", "-t", layout.top, *ALL))
        assert ["2", "3", "4"] == there(layout)
        assert f"deployment 4: kept: the mount {elsewhere} uses it\n" in done.out

    def test_a_target_that_is_given_by_another_path_is_the_same(
        self, layout: Layout, elsewhere: str
    ) -> None:
        script = f"mount --bind '{layout.top}' '{elsewhere}'"
        command = within(script, installed(), "prune", "-t", elsewhere, *ALL)
        with subprocess.Popen(["sleep", "60"], cwd=f"{layout.deployments}/4") as process:
            done = run(command)
            process.kill()
        assert ["2", "3", "4"] == there(layout), done.err

    def test_an_environment_that_spells_the_target_with_a_symlink_counts(
        self, layout: Layout, tmp_path: Path
    ) -> None:
        """Profiles spell it as it was given, not resolved."""
        os.symlink(layout.top, tmp_path / "link")
        spelled = f"{tmp_path}/link"
        path = f"{spelled}/infrastructure/deployments/4/bin:/usr/bin"
        with running("env", f"PATH={path}", "/bin/sh", "-c", "echo; exec /bin/sleep 60"):
            run_installed("prune", "-t", spelled, *ALL)
        assert ["2", "3", "4"] == there(layout)

    def test_another_mount_is_not_taken_for_it(self, layout: Layout, elsewhere: str) -> None:
        os.makedirs(f"{elsewhere}/deployments/4")
        script = f"mount -t tmpfs none '{elsewhere}'; mkdir -p '{elsewhere}/deployments/4'"
        script += f"; cd '{elsewhere}/deployments/4'; echo"
        with running(*within(script, "sleep", "60")):
            prune(layout, *ALL)
        assert ["2", "3"] == there(layout)


# Each shows a prune nothing of this host's processes: a script, and the namespaces it runs in.
BLIND = {
    "no /proc": ("mount -t tmpfs none /proc", ("-m",)),
    "processes of its own": ("", ("--pid", "--fork", "--mount-proc")),
}


@pytest.fixture(params=BLIND)
def command(request: pytest.FixtureRequest) -> list[str]:
    script, namespaces = BLIND[request.param]
    return within(script, namespaces=namespaces)


class TestBlind:
    def blindly(self, command: list[str], layout: Layout, *words: str) -> Ended:
        return run([*command, installed(), "prune", "-t", layout.top, *words])

    @pytest.mark.parametrize("dry", [[], ["-n"]])
    @pytest.mark.parametrize("words", [ALL, ("--keep", "0", "--yes")])
    def test_nothing_goes_unless_an_age_is_given_and_confirmed(
        self, layout: Layout, command: list[str], words: tuple[str, ...], dry: list[str]
    ) -> None:
        for directory, _, names in os.walk(layout.deployments):
            for name in names:
                os.utime(f"{directory}/{name}", (1, 1))
        done = self.blindly(command, layout, *words, *dry)
        assert (1, "", ["1", "2", "3", "4", "5"]) == (done.code, done.out, there(layout))
        assert f"Error: {UNSEEN} (" in done.err
        days = 0 if words == ALL else 30
        assert f"tierctl prune --keep 0 --older-than {days}d --yes --target" in done.err

    def test_with_both_it_goes_and_that_is_told(self, layout: Layout, command: list[str]) -> None:
        dry = self.blindly(command, layout, *ALL, "--yes", "-n")
        done = self.blindly(command, layout, *ALL, "--yes")
        assert (0, 0, ["2", "3"]) == (dry.code, done.code, there(layout))
        for ended in (dry, done):
            assert f"Warning: {UNSEEN}: " in ended.err

    def test_where_nothing_would_go_there_is_nothing_to_refuse(
        self, layout: Layout, command: list[str]
    ) -> None:
        assert 0 == self.blindly(command, layout).code

    def test_the_documents_say_it(self, layout: Layout, command: list[str]) -> None:
        refused = self.blindly(command, layout, *ALL, "--json").document
        assert "processes-not-seen" == refused["error"]["code"]
        done = self.blindly(command, layout, *ALL, "--yes", "--json").document
        assert done["unseen"]
        assert done["unseen"] in refused["error"]["message"]


class TestHidden:
    """/proc does not show other users' processes, or says nothing of them."""

    @pytest.fixture
    def own(self, layout: Layout) -> Layout:
        """A target of ada's."""
        require_root()
        for directory, names, files in os.walk(layout.top):
            for path in (directory, *(f"{directory}/{name}" for name in (*names, *files))):
                os.chown(path, ADA, ADA, follow_symlinks=False)
        return layout

    def asked(self, hidepid: int, own: Layout, *words: str) -> Ended:
        script = f"mount -t proc -o hidepid={hidepid} none /proc"
        words = (*as_user(ADA), installed(), "prune", "-t", own.top, *ALL, *words)
        return run(within(script, *words))

    @pytest.mark.parametrize("hidepid", [0, 1, 2])
    def test_what_could_not_be_inspected_is_counted_and_told(
        self, own: Layout, hidepid: int
    ) -> None:
        with subprocess.Popen(["sleep", "60"], cwd=f"{own.deployments}/4") as process:
            done = self.asked(hidepid, own, "-n", "--json")
            process.kill()
        document: dict[str, Any] = json.loads(done.out)
        assert ([5, 4, 1], None) == (document["removed"], document["unseen"])
        assert document["not_inspected"] > 0
        assert any("could not be inspected: only root" in text for text in document["warnings"])

    @pytest.mark.parametrize("hidepid", [1, 2])
    def test_the_caller_s_own_processes_are_seen(self, own: Layout, hidepid: int) -> None:
        words = [*as_user(ADA), "sh", "-c", "echo; exec sleep 60"]
        script = f"cd '{own.deployments}/4'"
        with running(*within(script, *words)):
            assert 0 == self.asked(hidepid, own).code
        assert ["2", "3", "4"] == there(own)

    def test_threads_of_the_kernel_use_nothing_and_are_not_counted(self) -> None:
        if Path("/proc/2/comm").read_text() != "kthreadd\n":
            missing("the kernel's threads are not seen here")
        assert processes._is_of_kernel(2)
        assert not processes._is_of_kernel(os.getpid())


class TestWarnings:
    def test_what_shells_have_loaded_is_said_not_to_be_seen(self, layout: Layout) -> None:
        said = "Warning: shells that have loaded a tier and wait at their prompt are not seen"
        assert said in prune(layout, *ALL, "-n").err
        assert said in prune(layout, *ALL).err
        assert said not in prune(layout, *ALL).err  # where nothing goes
