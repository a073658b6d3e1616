"""The machines themselves: what the tests of tierctl on NFS count on."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from nfs.cluster import Cluster
from nfs.machines import wait_until


def test_what_a_client_writes_outlives_a_power_cut_of_the_server(
    cluster: Cluster, name: str
) -> None:
    path = f"{cluster.mount('vers=4.2')}/{name}"
    cluster.a.must(f"echo written > {path}; sync {path}")
    cluster.server.cut_power()
    cluster.boot(cluster.server)
    assert "written\n" == cluster.a.must(f"cat {path}")
    assert "written\n" == cluster.server.must(f"cat {cluster.on_server(path)}")


def test_a_client_mounts_again_after_a_power_cut(cluster: Cluster, name: str) -> None:
    path = f"{cluster.mount('vers=4.2')}/{name}"
    cluster.a.must(f"touch {path}")
    cluster.b.cut_power()
    cluster.boot(cluster.b)
    cluster.b.must(f"test -e {path}")


def test_a_client_sees_a_replaced_link_late_as_its_options_say(cluster: Cluster, name: str) -> None:
    """Without this nothing is shown by tests that tierctl is right in spite of it."""
    directory = f"{cluster.mount('vers=4.2,actimeo=60')}/{name}"
    cluster.a.must(f"mkdir {directory}; ln -s old {directory}/link")
    assert "old\n" == cluster.b.must(f"readlink {directory}/link")
    cluster.a.must(f"cd {directory}; ln -s new .new; mv -T .new link")
    assert "old\n" == cluster.b.must(f"readlink {directory}/link")


def test_users_have_their_groups(cluster: Cluster) -> None:
    assert "lab\n" == cluster.a.must("id -nG | tr ' ' '\\n' | grep lab", user="bob")
    assert 1 == cluster.a.run("id -nG | grep lab", user="eve").code


def test_a_killed_test_run_leaves_nothing(tmp_path: Path) -> None:
    tests = Path(__file__).parents[1]
    keeping = "import sys, time; from pathlib import Path; from nfs.machines import Keeper"
    keeping += "; k = Keeper(Path(sys.argv[1])); k.start('sleep', ['sleep', '1000'])"
    keeping += "; print('started', flush=True); time.sleep(1000)"
    directory = tmp_path / "host"
    directory.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", keeping, directory], stdout=subprocess.PIPE, cwd=tests
    )
    with process:
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: not directory.exists(), 20)
