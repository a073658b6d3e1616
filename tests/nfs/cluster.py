"""An NFS server and two clients: three kernels on a switch of their own, without a network.

A test takes the fixture ``cluster``, which all tests share, and a directory of its own
on a mount with the options that it wants::

    def test_b_sees_what_a_promoted(cluster: Cluster, name: str) -> None:
        target = f"{cluster.mount('vers=4.2,actimeo=60')}/{name}"
        cluster.a.must(f"tierctl bootstrap {target}")
        assert 0 == cluster.a.tierctl("promote-staging", "-t", target).code
        assert "green" == cluster.b.tierctl("status", "-t", target, "--json").document[...]
        cluster.server.must(f"ls -l {cluster.on_server(target)}")  # on its disk, past all caches

A command that takes its time: ``job = cluster.b.begin("sleep 9")``, then ``job.wait()``.
A power cut: ``cluster.server.cut_power()``, then ``cluster.boot(cluster.server)``; the
server then exports again, and a client mounts again what it had mounted. What a test
changes for all (exports, a stopped nfsd, a link that is down) it has to put back.
In each machine there are the users root, ada and bob (of the group lab), and eve.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tierctl
from nfs.image import Image, image
from nfs.machines import Keeper, Machine, wait_until
from tools import missing

EXPORTED = "/srv/lab"
EXPORT_OPTIONS = "rw,sync,no_subtree_check,no_root_squash"
_GUEST = Path(__file__).with_name("guest")
_MEMORY_MB = {"server": 400, "a": 1000, "b": 1000}
_DISK_BYTES = 8 << 30
# The machines' memory, and what is written to their disks.
_NEEDED_BYTES = 4 << 30


class Cluster:
    """A server and the clients a and b."""

    def __init__(self, keeper: Keeper, image: Image, host: Path) -> None:
        self.host = host
        self.server, self.a, self.b = (
            Machine(name, number, memory_mb, keeper=keeper, image=image, host=host)
            for number, (name, memory_mb) in enumerate(_MEMORY_MB.items(), start=1)
        )
        self.clients = (self.a, self.b)
        self.machines = (self.server, *self.clients)
        self._mounts: dict[str, str] = {}

    def start(self) -> None:
        """Start all machines with what they need from the host, which each has as /host."""
        shutil.copytree(_GUEST, self.host / "guest")
        installed = Path(tierctl.__file__).parent
        compiled = shutil.ignore_patterns("__pycache__")
        shutil.copytree(installed, self.host / "tierctl", ignore=compiled)
        names = [f"{machine.address} {machine.name}\n" for machine in self.machines]
        (self.host / "hosts").write_text("".join(["127.0.0.1 localhost\n", *names]))
        self._write_exports(EXPORT_OPTIONS)
        disk = self.host / "data.img"
        disk.touch()
        os.truncate(disk, _DISK_BYTES)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", disk], check=True)
        self.server.add_disk(disk)
        for machine in self.machines:
            machine.start()
        for machine in self.machines:
            machine.wait_until_up()

    def boot(self, machine: Machine) -> None:
        """Start a machine whose power was cut, and wait until it is as it was before."""
        machine.start()
        machine.wait_until_up()
        if machine is not self.server:
            for options, point in self._mounts.items():
                self._mount(machine, options, point)

    def mount(self, options: str) -> str:
        """Return where both clients have the export mounted with these options.

        Each mount has caches of its own, also for what another one shows as well.
        """
        if options not in self._mounts:
            point = f"/mnt/{len(self._mounts)}"
            for client in self.clients:
                self._mount(client, options, point)
            self._mounts[options] = point
        return self._mounts[options]

    def _mount(self, client: Machine, options: str, point: str) -> None:
        source = f"{self.server.address}:{EXPORTED}"
        client.must(f"mkdir -p {point}; mount -t nfs -o {options},nosharecache {source} {point}")

    def on_server(self, path: str) -> str:
        """Return the path on the server's disk of what a client has below a mount."""
        for point in self._mounts.values():
            if path.startswith(f"{point}/"):
                return EXPORTED + path.removeprefix(point)
        raise ValueError(path)

    def export(self, options: str) -> None:
        """Export the directory with other options; clients see them at once."""
        self._write_exports(options)
        self.server.must("cp /host/exports /etc/exports; exportfs -ra")

    def _write_exports(self, options: str) -> None:
        (self.host / "exports").write_text(f"{EXPORTED} *({options})\n")

    def stop_nfsd(self) -> None:
        """Have the server serve nothing; what clients ask for waits, or fails if they are soft."""
        self.server.must("rpc.nfsd 0")

    def start_nfsd(self) -> None:
        self.server.must("rpc.nfsd 4")


@contextmanager
def running() -> Iterator[Cluster]:
    """Boot a cluster; skip or fail the test where that cannot be. It ends with this process."""
    built = image()
    host = Path(tempfile.mkdtemp(prefix="tierctl-nfs-", dir=_place()))
    keeper = Keeper(host)
    try:
        keeper.start("switch", [str(built.switch), "-unix", f"{host}/switch"])
        wait_until((host / "switch").exists, 10)
        cluster = Cluster(keeper, built, host)
        cluster.start()
        yield cluster
    finally:
        keeper.close()


def _place() -> str:
    """Return the directory with room for the machines' memory and disks; in memory if there is."""
    places = ("/dev/shm", tempfile.gettempdir())  # noqa: S108 (a name of its own in it)
    with_room = [
        place
        for place in places
        if os.access(place, os.W_OK) and shutil.disk_usage(place).free > _NEEDED_BYTES
    ]
    if not with_room:
        missing(f"the NFS lab needs 4 GB in {' or '.join(places)}")
    return with_room[0]
