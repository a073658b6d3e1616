"""Machines under User-mode Linux: how one is started, asked for something, and cut off."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from nfs.image import Image
from program import Ended

_KEEPER = Path(__file__).with_name("keeper.py")
_PAUSE_S = 0.01
_BOOT_S = 120.0


class Failed(AssertionError):
    """A machine did not do what a test needs before it can begin."""


class Keeper:
    """The process that keeps the machines, and ends them when this one ends, however it does."""

    def __init__(self, directory: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-S", _KEEPER, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def start(self, name: str, command: list[str]) -> None:
        self._ask(name, command)

    def end(self, name: str) -> None:
        self._ask(name, None)

    def _ask(self, name: str, command: list[str] | None) -> None:
        self._process.stdin.write(json.dumps([name, command]) + "\n")
        self._process.stdin.flush()
        self._process.stdout.readline()

    def close(self) -> None:
        """End all machines and remove their directory."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Job:
    """A command that a machine was asked to run."""

    def __init__(self, machine: "Machine", command: str, answer: Path) -> None:
        self.machine = machine
        self.command = command
        self._answer = answer
        # In the machine: what the command has printed so far.
        self.printed = f"/tmp/{answer.stem}.out"  # noqa: S108

    @property
    def is_done(self) -> bool:
        return self._answer.exists()

    def wait(self, timeout: float = 120) -> Ended:
        """Wait until it has ended; raises ``TimeoutError`` if it does not in so many seconds."""
        try:
            wait_until(lambda: self.is_done, timeout)
        except TimeoutError as error:
            raise TimeoutError(f"{self.machine.name}: no answer to {self.command}") from error
        ended = Ended(*json.loads(self._answer.read_text()))
        self._answer.unlink()
        return ended


class Machine:
    """A machine: its disk is the image's for reading, its writing lasts until the next boot."""

    def __init__(
        self, name: str, number: int, memory_mb: int, *, keeper: Keeper, image: Image, host: Path
    ) -> None:
        self.name = name
        self.address = f"10.9.0.{number}"
        self._link = f"eth0=daemon,52:54:00:00:00:{number:02x},unix,{host}/switch"
        self._memory_mb = memory_mb
        self._keeper, self._image, self._host = keeper, image, host
        self._jobs = host / "jobs" / name
        self._numbers = count(1)
        self._data: Path | None = None

    def add_disk(self, data: Path) -> None:
        """Give it a disk of its own, /dev/ubdb, that outlives a power cut."""
        self._data = data

    def start(self) -> None:
        """Switch it on; ``wait_until_up`` waits for it."""
        self._jobs.mkdir(parents=True, exist_ok=True)
        for old in self._jobs.iterdir():
            old.unlink()
        written = self._host / f"{self.name}.disk"
        written.unlink(missing_ok=True)
        disks = [f"ubda={written},{self._image.disk}"]
        if self._data:
            disks.append(f"ubdb={self._data}")
        words = [
            "env",
            f"LD_PRELOAD={self._image.preloaded}",
            str(self._image.kernel),
            f"mem={self._memory_mb}M",
            "root=/dev/ubda",
            "rw",
            "init=/boot/init",
            *disks,
            self._link,
            "con=null",
            "con0=null,fd:1",
            "ssl=null",
            "quiet",
            "panic=-1",
            f"uml_dir={self._host}/uml",
            f"umid={self.name}",
            f"lab.host={self._host}",
            f"lab.name={self.name}",
            f"lab.address={self.address}",
        ]
        self._keeper.start(self.name, words)

    def wait_until_up(self) -> None:
        try:
            wait_until((self._jobs / "ready").exists, _BOOT_S)
        except TimeoutError as error:
            console = (self._host / f"{self.name}.console").read_text(errors="replace")
            raise Failed(f"{self.name} does not come up:\n{console[-3000:]}") from error

    def cut_power(self) -> None:
        """Cut its power: its memory is lost, and with it what it has not written to its disk."""
        self._keeper.end(self.name)

    def begin(self, command: str, *, user: str = "root") -> Job:
        """Have bash run a command, and return at once."""
        name = f"{os.getpid()}-{next(self._numbers)}"
        new = self._jobs / f"{name}.asked"
        new.write_text(json.dumps({"command": command, "user": user}))
        new.rename(self._jobs / f"{name}.job")
        return Job(self, command, self._jobs / f"{name}.end")

    def run(self, command: str, *, user: str = "root", timeout: float = 120) -> Ended:
        """Have bash run a command, and return how that ended."""
        return self.begin(command, user=user).wait(timeout)

    def must(self, command: str, *, user: str = "root", timeout: float = 120) -> str:
        """Return what a command prints; raises ``Failed`` if it fails."""
        done = self.run(command, user=user, timeout=timeout)
        if done.code:
            raise Failed(f"{self.name}: {command}: exit {done.code}\n{done.out}{done.err}")
        return done.out

    def tierctl(self, *words: object, user: str = "root", timeout: float = 300) -> Ended:
        """Run tierctl."""
        return self.run(shlex.join(["tierctl", *map(str, words)]), user=user, timeout=timeout)

    def take_link_down(self) -> None:
        """Take it off the network; commands can still be run in it."""
        self.must("ip link set eth0 down")

    def bring_link_up(self) -> None:
        self.must("ip link set eth0 up")


def wait_until(is_so: Callable[[], bool], timeout: float) -> None:
    """Wait until something is so; raises ``TimeoutError`` after so many seconds."""
    deadline = time.monotonic() + timeout
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_PAUSE_S)
