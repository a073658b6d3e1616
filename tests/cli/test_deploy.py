"""``tierctl deploy``, through the installed command."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from lab import Hanging, Lab, Served, children, wait_until_ended
from program import run_installed
from targets import links, listing
from terminal import Terminal
from tierctl.demo.channel import NOARCH, write_package
from tierctl.deploy.engine import client
from tierctl.fs.local import OsFileSystem
from tools import require_root

pytest.importorskip("rattler")


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


class TestBuilding:
    def test_the_tier_shows_what_was_built_and_production_stays(self, lab: Lab) -> None:
        done = lab.deploy("staging", "-m", "first")
        assert (0, "hello 1.0\n") == (done.code, lab.runs("staging"))
        expected = {"production": "green", "staging": "blue", "blue": "deployments/2"}
        assert expected == links(lab.layout)
        assert ["1", "2"] == lab.deployments

    def test_whoever_calls_it_need_not_hear_of_processes_that_end(self, lab: Lab) -> None:
        """As below a service manager that ignores SIGCHLD: what is ignored is inherited."""
        ignoring = ["bash", "-c", "trap '' CHLD; exec \"$@\"", "bash"]
        done = subprocess.run([*ignoring, *lab.command("dev1")], capture_output=True, check=False)
        assert 0 == done.returncode, done.stderr

    def test_a_promotion_and_a_rollback_after_it_serve_what_they_should(self, lab: Lab) -> None:
        target = lab.layout.top
        for version in ("1.0", "2.0"):
            lab.want(f"hello={version}")
            lab.deploy("staging")
            run_installed("promote-staging", "-t", target)
            assert f"hello {version}\n" == lab.runs("production")
        run_installed("rollback", "-t", target)
        assert "hello 1.0\n" == lab.runs("production")

    def test_what_is_there_already_is_not_built_again_unless_asked_for(self, lab: Lab) -> None:
        lab.deploy("staging")
        again = lab.deploy("staging")
        assert "nothing to do: staging shows just that already (deployment 2)\n" == again.out
        assert ["1", "2"] == lab.deployments
        lab.deploy("staging", "--rebuild")
        assert "deployments/4" == links(lab.layout)["blue"]

    def test_a_changed_overlay_is_built_though_the_packages_are_the_same(self, lab: Lab) -> None:
        lab.deploy("staging")
        (lab.definitions / "tier" / "etc" / "profile.d").mkdir(parents=True)
        (lab.definitions / "tier" / "etc" / "profile.d" / "own.sh").write_text("OWN=1\n")
        lab.deploy("staging")
        assert "deployments/4" == links(lab.layout)["blue"]

    def test_a_diff_tells_of_files(self, lab: Lab) -> None:
        lab.deploy("dev1")
        target = ("-t", lab.layout.top)
        lab.deploy("dev2", "--rebuild")
        assert 0 == run_installed("diff", *target, "dev1", "dev2", "--exit-code").code
        (lab.definitions / "tier" / "etc").mkdir(parents=True)
        (lab.definitions / "tier" / "etc" / "lab.conf").write_text("x\n")
        assert "What differs is in tier/" in lab.deploy("dev2", "-n").out
        lab.deploy("dev2")
        done = run_installed("diff", *target, "dev1", "dev2", "--exit-code")
        assert (3, True) == (done.code, done.out.endswith("files of tier/ differ\n"))

    def test_changes_say_in_short_which_packages_differ(self, lab: Lab) -> None:
        target = lab.layout.top
        lab.deploy("staging")
        run_installed("promote-staging", "-t", target)
        lab.deploy("staging")
        lab.want("hello=2.0")
        assert "packages: 1 upgraded\n" in lab.deploy("staging").out
        assert "packages: 1 upgraded\n" in run_installed("promote-staging", "-n", "-t", target).out
        run_installed("promote-staging", "-t", target)
        assert "packages: 1 downgraded\n" in run_installed("rollback", "-t", target).out
        newest = run_installed("history", "-t", target, "--json").document["events"][0]
        assert {"downgraded": 1} == newest["packages"]

    @pytest.mark.parametrize("name", ["a:b", "a\nb"])
    def test_a_target_made_by_hand_with_a_name_that_bootstrap_refuses_is_refused(
        self, tmp_path: Path, name: str
    ) -> None:
        (tmp_path / name).mkdir()
        lab = Lab(tmp_path / name)
        before = listing(lab.layout.top)
        for words in (["dev1", "-n"], ["dev1"]):
            done = lab.deploy(*words)
            assert (1, "") == (done.code, done.out)
            assert "a target's path cannot hold" in done.err
        assert before == listing(lab.layout.top)

    @pytest.mark.parametrize("is_copied", [True, False])
    def test_a_target_that_was_moved_or_copied_is_refused_in_the_words_of_run(
        self, lab: Lab, tmp_path: Path, is_copied: bool
    ) -> None:
        assert 0 == lab.deploy("staging").code
        if is_copied:
            shutil.copytree(lab.layout.top, tmp_path / "other", symlinks=True)
        else:
            os.rename(lab.layout.top, tmp_path / "other")
        before = listing(tmp_path / "other")
        other = ("-t", str(tmp_path / "other"))
        refused = run_installed("run", *other, "staging", "true")
        assert "the target was moved or copied" in refused.err
        for words in (["staging"], ["dev1"], ["staging", "-n"]):
            done = lab.deploy(*words, *other)
            assert (1, "", refused.err) == (done.code, done.out, done.err)
        assert before == listing(tmp_path / "other")

    def test_one_deployment_that_leads_elsewhere_does_not_keep_a_target_from_being_used(
        self, lab: Lab, tmp_path: Path
    ) -> None:
        """It was copied there by hand; the deploy is what takes it away."""
        lab.deploy("staging")
        run_installed("promote-staging", "-t", lab.layout.top)
        lab.deploy("staging")
        profile = Path(lab.layout.within("staging"), "etc", "profile.sh")
        text = profile.read_text().replace(lab.layout.infrastructure, "/other/infrastructure")
        profile.chmod(0o644)
        profile.write_text(text)
        assert 0 == lab.deploy("staging", "--rebuild").code

    def test_the_infrastructure_may_be_elsewhere_behind_a_link(
        self, lab: Lab, tmp_path: Path
    ) -> None:
        os.rename(lab.layout.infrastructure, tmp_path / "elsewhere")
        os.symlink("../elsewhere", lab.layout.infrastructure)
        done = lab.deploy("staging")
        assert 0 == done.code, done.err
        assert "hello 1.0\n" == lab.runs("staging")

    def test_a_private_tier_is_made_and_moved(self, lab: Lab) -> None:
        for version, number in (("1.0", 1), ("2.0", 2)):
            lab.want(f"hello={version}")
            assert 0 == lab.deploy("dev1").code
            assert f"deployments/{number}" == links(lab.layout)["dev1"]
            assert f"hello {version}\n" == lab.runs("dev1")

    def test_its_record_says_which_commit_it_was_built_from(self, lab: Lab) -> None:
        git = ["git", "-C", str(lab.definitions), "-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", "x"], check=True)
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True)
        lab.deploy("staging")
        record = json.loads(Path(lab.layout.deployment_record("deployments/2")).read_text())
        assert head.stdout.strip() == record["definitions"]["git"]["commit"]
        assert record["definitions"]["git"]["dirty"] is False

    def test_like_another_takes_exactly_its_packages(self, lab: Lab) -> None:
        lab.deploy("staging")
        write_package(lab.channel, "hello", "1.0.1", {"bin/hello": "new"}, subdir=NOARCH)
        lab.deploy("dev1", "--like", "staging")
        assert "hello 1.0\n" == lab.runs("dev1")
        lab.deploy("dev2", "--like", "2")
        assert "hello 1.0\n" == lab.runs("dev2")
        lab.deploy("dev3")
        found = run_installed("diff", "-t", lab.layout.top, "dev1", "dev3", "--json").document
        assert ["upgraded"] == [change["kind"] for change in found["packages"]]

    def test_its_lock_names_every_archive_with_its_sha256(self, lab: Lab) -> None:
        lab.deploy("staging")
        lock = Path(lab.layout.lock_record("deployments/2", "tools")).read_text()
        (archive,) = lab.channel.rglob("hello-1.0-0.tar.bz2")
        assert str(archive) in lock
        assert hashlib.sha256(archive.read_bytes()).hexdigest() in lock

    def test_offline_what_is_in_the_cache_is_enough(self, lab: Lab) -> None:
        lab.deploy("staging")
        for archive in lab.channel.rglob("*.tar.bz2"):
            archive.unlink()
        assert 0 == lab.deploy("dev1", "--offline").code
        assert "hello 1.0\n" == lab.runs("dev1")


class TestRefusing:
    @pytest.mark.parametrize(
        ("tier", "reason"),
        [
            ("production", "nothing is deployed into production"),
            ("green", "green is what production serves (green)"),
            ("../x", "is no tier to deploy into"),
            ("other", "is no tier to deploy into"),
            ("dev/x", "is no tier to deploy into"),
        ],
    )
    def test_what_cannot_be_deployed_into(self, lab: Lab, tier: str, reason: str) -> None:
        before = listing(lab.layout.top)
        done = lab.deploy(tier)
        assert (1, "") == (done.code, done.out)
        assert reason in done.err
        assert before == listing(lab.layout.top)

    def test_nothing_is_built_while_both_tiers_show_one_color(self, lab: Lab) -> None:
        os.unlink(lab.layout.within("production"))
        os.symlink("blue", lab.layout.within("production"))
        dry, real = lab.deploy("dev1", "-n"), lab.deploy("dev1")
        assert (1, 1, real.err) == (dry.code, real.code, dry.err)
        assert "point to the same color: blue" in real.err
        assert "Building" not in real.err

    def test_wrong_definitions_are_told_with_file_and_line(self, lab: Lab) -> None:
        lab.want("'hello >>1'")
        done = lab.deploy("staging")
        assert 1 == done.code
        assert "environments/tools.yaml:2: 'hello >>1' is no match spec" in done.err

    def test_a_server_that_goes_away_meanwhile_is_named(self, lab: Lab) -> None:
        with Hanging(lab.channel) as server:
            lab.want_from(server.url, "hello=1.0")
            running = subprocess.Popen(
                lab.command("staging"), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            server.wait_for_an_archive()
            server.go_away()
        out, err = running.communicate()
        assert (1, "", True) == (running.returncode, out, f"{server.url}/" in err), err
        assert "blue" not in links(lab.layout)
        assert [] == lab.deployments
        lab.want("hello=1.0")
        assert 0 == lab.deploy("staging").code

    def test_what_cannot_be_solved_moves_nothing(self, lab: Lab) -> None:
        lab.want("hello=3.0")
        done = lab.deploy("staging")
        assert 1 == done.code
        assert "hello" in done.err
        assert "blue" not in links(lab.layout)

    def test_definitions_that_others_could_have_written_are_not_built(self, lab: Lab) -> None:
        script = lab.definitions / "tier" / "etc" / "profile.d" / "own.sh"
        script.parent.mkdir(parents=True)
        script.write_text("touch /tmp/never\n")
        for wrong, reason in (
            (lambda: script.chmod(0o666), "can be written by everybody"),
            (lambda: (require_root(), os.chown(script, 10061, 10061)), "belongs to user 10061"),
            (lambda: (os.chown(script, 0, 10061), script.chmod(0o664)), "by group 10061"),
        ):
            script.chmod(0o644)
            wrong()
            done = lab.deploy("staging")
            assert (1, True) == (done.code, reason in done.err), done.err
        assert "blue" not in links(lab.layout)

    def test_a_script_that_is_changed_meanwhile_stops_it(self, lab: Lab) -> None:
        script = lab.definitions / "tier" / "bin" / "own"
        script.parent.mkdir(parents=True)
        script.write_text("old")
        with Hanging(lab.channel, "repodata.json") as server:
            lab.want_from(server.url, "hello=1.0")
            running = subprocess.Popen(lab.command("dev1"), stderr=subprocess.PIPE, text=True)
            server.wait_for_an_archive()
            script.write_text("new")
            server.go_on()
            _, err = running.communicate()
        assert (1, True) == (running.returncode, f"changed meanwhile: {script}" in err), err
        assert [] == lab.deployments

    @pytest.mark.parametrize(
        ("ending", "wrong"),
        [
            ("exit 3", "exit code 3 in etc/profile.d/own.sh"),
            ("exit 0", "etc/profile.d/own.sh ends the shell; use return"),
        ],
    )
    def test_a_tier_that_no_shell_can_load_is_told_and_nothing_is_left_running(
        self, lab: Lab, ending: str, wrong: str
    ) -> None:
        script = lab.definitions / "tier" / "etc" / "profile.d" / "own.sh"
        script.parent.mkdir(parents=True)
        started = lab.definitions.parent / "started"
        script.write_text(f"sleep 60 &\necho $! >> '{started}'\n{ending}\n")
        done = lab.deploy("staging")
        assert (1, True) == (done.code, f"bash cannot load etc/profile.sh: {wrong}" in done.err)
        pids = started.read_text().split()
        assert pids
        for pid in pids:
            wait_until_ended(int(pid))

    def test_a_package_that_the_cache_has_damaged_is_fetched_anew(self, lab: Lab) -> None:
        lab.deploy("dev1")
        Path(lab.layout.cache, "hello-1.0-0", "bin", "hello").write_text("short")
        assert 0 == lab.deploy("dev2").code
        assert "hello 1.0\n" == lab.runs("dev2")

    def test_like_one_without_locks_is_told(self, lab: Lab) -> None:
        done = lab.deploy("staging", "--like", "production")
        assert (1, True) == (done.code, "has no lock of the environment tools" in done.err)

    def test_without_definitions_it_says_what_they_are(self, lab: Lab, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        done = run_installed("deploy", "staging", "-t", lab.layout.top, cwd=tmp_path / "empty")
        assert (1, True) == (done.code, "no definitions in" in done.err)


class TestDryRun:
    def test_it_shows_the_packages_and_writes_nothing(self, lab: Lab) -> None:
        before = listing(lab.layout.top)
        done = lab.deploy("staging", "-n")
        assert 0 == done.code
        assert "tools  added  hello  1.0" in done.out
        assert before == listing(lab.layout.top)

    def test_offline_it_knows_what_the_cache_knows(self, lab: Lab) -> None:
        write_package(lab.channel, "other", "1", {}, subdir=client.platform())
        with Served(lab.channel) as server:
            lab.want_from(server.url, "hello=1.0")
            assert 0 == lab.deploy("staging").code
        done = lab.deploy("dev1", "-n", "--offline")
        assert (0, "tools  added  hello  1.0" in done.out) == (done.code, True), done.err
        assert 0 == lab.deploy("dev1", "--offline").code
        shutil.rmtree(f"{lab.layout.cache}/hello-1.0-0")
        for words in (["-n", "--offline"], ["--offline"]):
            done = lab.deploy("dev2", *words)
            assert (1, True) == (done.code, "hello-1.0-0.tar.bz2 is not in the cache" in done.err)

    def test_offline_nobody_is_asked_for_what_only_looks_as_if_it_were_cached(
        self, lab: Lab, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        write_package(other, "hello", "1.0", {"bin/hello": "#!/bin/sh\n"}, subdir=NOARCH)
        write_package(other, "more", "1.0", {"share/more": ""}, subdir=NOARCH)
        write_package(other, "native", "1", {}, subdir=client.platform())
        with Served(other) as server:
            lab.want_from(server.url, "more")
            assert 0 == lab.deploy("dev1").code
            lab.want("hello=1.0")
            assert 0 == lab.deploy("dev2").code
            lab.want_from(server.url, "hello=1.0")
            done = lab.deploy("dev3", "--offline")
            assert (1, True) == (done.code, "hello-1.0-0" in done.err), done.err
            assert 0 == lab.deploy("dev3").code

    def test_it_tells_which_commands_several_environments_bring(self, lab: Lab) -> None:
        lab.write_environment(
            f"channels: ['{lab.channel.as_uri()}']\ndependencies: [hello=2.0]\n", "newer"
        )
        line = "collision: hello is in newer, tools; on PATH newer comes first\n"
        assert line in lab.deploy("staging", "-n").out
        assert {"hello": ["newer", "tools"]} == lab.deploy("staging", "-n", "--json").document[
            "collisions"
        ]
        with Served(lab.channel) as server:
            lab.want_from(server.url, "hello=1.0")
            assert line in lab.deploy("staging", "-n").out

    def test_commands_of_the_definitions_come_before_those_of_environments(self, lab: Lab) -> None:
        (lab.definitions / "tier/bin").mkdir(parents=True)
        (lab.definitions / "tier/bin/hello").write_text("#!/bin/sh\necho own\n")
        (lab.definitions / "tier/bin/other").write_text("#!/bin/sh\n")
        (lab.definitions / "tier/bin/hello").chmod(0o755)
        done = lab.deploy("staging", "-n")
        assert "collision: hello is in tier/bin, tools; on PATH tier/bin comes first\n" in done.out
        assert "other" not in done.out
        lab.deploy("staging")
        assert "own\n" == lab.runs("staging")

    def test_it_tells_of_clashes_as_the_deploy_does_and_a_deploy_after_it_again(
        self, lab: Lab
    ) -> None:
        for name in ("one", "two"):
            write_package(lab.channel, name, "1", {"share/x": name, f"share/{name}": name})
        lab.want("one, two")
        wanted = [
            "environment tools: share/x is in two-1-0.tar.bz2 and in one-1-0.tar.bz2: "
            "that of one-1-0.tar.bz2 is used"
        ]
        for words in (("-n",), (), (), ("-n",)):
            assert wanted == lab.deploy("staging", *words, "--json").document["warnings"]
        assert f"Warning: {wanted[0]}\n" in lab.deploy("dev1").err
        environment = Path(lab.layout.within("staging"), "conda/envs/tools")
        assert "one" == (environment / "share/x").read_text()
        assert "two" == (environment / "__clobbers__/two/share/x").read_text()

    def test_it_fails_where_packages_cannot_be_in_one_environment(self, lab: Lab) -> None:
        write_package(lab.channel, "one", "1", {"share/x": "one"})
        write_package(lab.channel, "two", "1", {"share/x/y": "two"})
        lab.want("two")
        assert 0 == lab.deploy("staging").code
        shown = links(lab.layout)
        before = listing(Path(lab.layout.within("staging")))
        lab.want("one, two")
        dry, real = lab.deploy("staging", "-n", "--json"), lab.deploy("staging", "--json")
        assert (1, 1, real.document["error"]) == (dry.code, real.code, dry.document["error"])
        text = "share/x is in one-1-0.tar.bz2 as a file and in two-1-0.tar.bz2 as a directory"
        assert text in real.document["error"]["message"]
        assert shown == links(lab.layout)
        assert before == listing(Path(lab.layout.within("staging")))

    def test_it_fails_as_the_deploy_would(self, lab: Lab) -> None:
        lab.want("hello=3.0")
        dry, real = lab.deploy("staging", "-n"), lab.deploy("staging")
        assert (1, real.err) == (dry.code, dry.err)


class TestJson:
    def test_a_deploy_is_one_document(self, lab: Lab) -> None:
        document = lab.deploy("staging", "--json").document
        assert (True, 2, {"added": 1}) == (
            document["changed"],
            document["deployment"],
            document["packages"],
        )
        assert ("deploy", 1) == (document["event"]["kind"], document["after"]["adopted"])

    def test_so_is_one_that_finds_nothing_to_do_and_a_dry_run(self, lab: Lab) -> None:
        plan = lab.deploy("staging", "--json", "-n").document["plan"]
        assert [("tools", "added", "hello")] == [
            (each["environment"], each["kind"], each["name"]) for each in plan
        ]
        lab.deploy("staging")
        document = lab.deploy("staging", "--json").document
        assert (False, 2) == (document["changed"], document["deployment"])


class TestInterrupted:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
    def test_whenever_it_is_stopped_the_tiers_are_whole_and_the_next_deploy_works(
        self, lab: Lab, number: signal.Signals
    ) -> None:
        lab.deploy("staging")
        version = 0
        for pause in [0.08 * n for n in range(1, 7)]:
            version = 1 + version % 2
            lab.want(f"hello={version}.0")
            running = subprocess.Popen(
                lab.command("staging", "--rebuild"),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            time.sleep(pause)
            running.send_signal(number)
            running.wait()
            assert lab.runs("staging") in ("hello 1.0\n", "hello 2.0\n")
        lab.want("hello=1.0")
        assert 0 == lab.deploy("staging", "--rebuild").code
        assert "hello 1.0\n" == lab.runs("staging")
        left = [name for name in os.listdir(lab.layout.control) if name.startswith("building")]
        assert [] == left
        for name in lab.deployments:
            assert name.isdigit()
            assert Path(lab.layout.deployment_record(f"deployments/{name}")).exists()

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
    def test_its_engine_ends_with_it(
        self, lab: Lab, tmp_path: Path, number: signal.Signals
    ) -> None:
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        with Hanging(lab.channel) as server:
            lab.want_from(server.url, "hello=1.0")
            running = subprocess.Popen(
                lab.command("staging"),
                env=os.environ | {"TMPDIR": str(temporary)},
                stderr=subprocess.DEVNULL,
            )
            server.wait_for_an_archive()
            worker, *_ = children(running.pid)  # and git, for a moment
            running.send_signal(number)
            running.wait()
            wait_until_ended(worker)
        assert [] == os.listdir(temporary)
        lab.want("hello=1.0")
        assert 0 == lab.deploy("staging").code

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_who_is_asked_to_end_leaves_nothing(
        self, lab: Lab, tmp_path: Path, number: signal.Signals
    ) -> None:
        temporary = tmp_path / "temporary"
        temporary.mkdir()
        script = lab.definitions / "tier" / "etc" / "profile.d" / "own.sh"
        script.parent.mkdir(parents=True)
        script.write_text(f"echo $$ >> '{tmp_path}/begun'; sleep 50\n")
        environment = os.environ | {"TMPDIR": str(temporary)}
        running = subprocess.Popen(
            lab.command("staging"), env=environment, stderr=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 20
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)  # until all shells have been started
        running.send_signal(number)
        assert "interrupted" in running.communicate()[1]
        assert (130, [], []) == (running.returncode, lab.deployments, os.listdir(temporary))
        for pid in (tmp_path / "begun").read_text().split():
            wait_until_ended(int(pid))

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    def test_what_the_caller_ignores_ends_nothing(
        self, lab: Lab, tmp_path: Path, number: signal.Signals
    ) -> None:
        """As with nohup, or in the background of a script."""
        script = lab.definitions / "tier" / "etc" / "profile.d" / "own.sh"
        script.parent.mkdir(parents=True)
        script.write_text(
            f"touch '{tmp_path}/begun'; while [ ! -e '{tmp_path}/sent' ]; do sleep 0.1; done\n"
        )
        ignoring = ["sh", "-c", f'trap "" {number.name[3:]}; exec "$@"', "sh"]
        running = subprocess.Popen([*ignoring, *lab.command("staging")], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        running.send_signal(number)
        (tmp_path / "sent").touch()
        errors = running.communicate()[1]
        assert 0 == running.returncode, errors

    def test_two_at_once_both_build_and_end_one_after_the_other(self, lab: Lab) -> None:
        running = [
            subprocess.Popen(lab.command("staging", "--rebuild"), stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        assert [0, 0] == [each.wait() for each in running]
        for each in running:
            each.communicate()
        history = run_installed("history", "-t", lab.layout.top, "--json").document["events"]
        assert ["deploy", "deploy"] == [event["kind"] for event in history]
        assert links(lab.layout)["blue"] == history[0]["after"]["blue"]

    def test_one_that_cannot_switch_says_what_it_leaves(self, lab: Lab) -> None:
        lab.deploy("dev1")
        with OsFileSystem().lock(lab.layout.lock, mode=0o600, timeout=0):
            done = lab.deploy("dev1", "--rebuild", "--lock-timeout", "0.1")
        assert (1, True) == (done.code, "deployment 2 is finished, but no tier" in done.err)
        assert "deployments/1" == links(lab.layout)["dev1"]

    def test_promotions_meanwhile_never_lead_into_production(self, lab: Lab) -> None:
        target = lab.layout.top
        running = subprocess.Popen(lab.command("blue"), stderr=subprocess.PIPE, text=True)
        assert running.stderr is not None
        while "Building" not in (line := running.stderr.readline()):
            assert line
        assert 0 == run_installed("promote-staging", "-t", target).code
        rest = running.stderr.read()
        if running.wait():  # the promotion was first
            assert "blue is what production serves" in rest
            assert "blue" not in links(lab.layout)
        else:
            assert "hello 1.0\n" == lab.runs("production")
        running.stderr.close()


def test_without_the_engine_it_says_what_to_install(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules['rattler'] = None\n"
        "import importlib.util as util\nfind = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'rattler' else find(name, *rest)\n"
    )
    done = subprocess.run(
        lab.command("staging"),
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (1, True) == (done.returncode, "pip install 'tierctl[deploy]'" in done.stderr)


def test_a_script_that_a_package_wants_run_is_told_by_name_and_not_run(lab: Lab) -> None:
    files = {"bin/.data-post-link.sh": "#!/bin/sh\ntouch $PREFIX/ran\n", "bin/.x": "no script"}
    write_package(lab.channel, "data", "1", files, subdir=NOARCH)
    lab.want("data")
    (warning,) = lab.deploy("staging", "--json").document["warnings"]
    assert "environment tools: .data-post-link.sh was not run" in warning
    environment = Path(lab.layout.within("staging"), "conda/envs/tools")
    assert [".data-post-link.sh", ".x"] == sorted(os.listdir(environment / "bin"))
    assert not (environment / "ran").exists()


def test_variables_of_packages_are_set_in_the_tier_and_what_is_not_set_is_told(lab: Lab) -> None:
    values = {"TOOL_MODE": "it's $(id)\n`id`", "LEVEL": 3, "PATH": "/evil"}
    files = {"etc/conda/env_vars.d/tool.json": json.dumps(values), "share/x": "x"}
    write_package(lab.channel, "tool", "1.0", files)
    lab.want("tool")
    (warning,) = lab.deploy("staging", "--json").document["warnings"]
    told = (
        "environment tools: 'PATH' of etc/conda/env_vars.d/tool.json (package tool 1.0) is not set"
    )
    assert warning.startswith(told)
    assert "it's $(id)\n`id`\n" == lab.runs("staging", "printenv", "TOOL_MODE")
    assert "3\n" == lab.runs("staging", "printenv", "LEVEL")
    assert "/evil" not in lab.runs("staging", "printenv", "PATH")
    assert "nothing to do" in lab.deploy("staging").out


def test_other_versions_of_its_modules_on_pythonpath_are_no_hindrance(
    lab: Lab, tmp_path: Path
) -> None:
    """As after ``module load`` of a stack of scientific software."""
    for name in ("click", "yaml", "rattler", "json"):
        (tmp_path / f"{name}.py").write_text("from collections import Mapping\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(lab.command("staging"), env=environment)
    assert 0 == done.returncode


def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    done = run_installed("demo", "demo", cwd=tmp_path)
    assert 0 == done.code
    assert "HELLO! (greet 2.0)\n" in done.out
    assert done.out.count("hello (greet 1.0)\n") == 2
    assert 1 == run_installed("demo", tmp_path / "demo").code


class TestOnATerminal:
    def test_bars_show_how_far_it_is_and_leave_nothing(self, lab: Lab) -> None:
        with Hanging(lab.channel) as server:
            lab.want_from(server.url, "hello=1.0")
            with Terminal(*lab.command("dev1"), env=dict(os.environ), kind="xterm") as screen:
                screen.wait_for(r"(?s)Building deployment 1.*Fetching.*Linking.*0/1 packages.*1/3")
                server.go_on()
                shown = screen.wait_for(r"dev1: .*deployment 1\n")
        assert " ..." not in shown

    def test_a_dumb_one_gets_lines(self, lab: Lab) -> None:
        with Terminal(*lab.command("dev1"), env=dict(os.environ)) as screen:
            screen.wait_for(r"Building deployment 1 \.\.\.")

    def test_with_json_nothing_is_said(self, lab: Lab) -> None:
        assert "" == lab.deploy("dev1", "--json").err
