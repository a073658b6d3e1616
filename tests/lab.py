"""A target with definitions and a channel of its own, for whole deploys."""

import os
import threading
import time
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self

from program import Ended, installed, run_installed
from targets import make_target
from tierctl.demo.channel import NOARCH, write_package
from tierctl.target.paths import Layout


class Lab:
    """A target, and definitions of one environment from a channel of its own."""

    def __init__(self, place: Path) -> None:
        self.layout: Layout = make_target(place / "lab")
        self.channel = place / "channel"
        self.definitions = place / "definitions"
        for version in ("1.0", "2.0"):
            files = {"bin/hello": f"#!/bin/sh\necho hello {version}\n"}
            write_package(self.channel, "hello", version, files, subdir=NOARCH)
        (self.definitions / "environments").mkdir(parents=True)
        (self.definitions / "tierctl.toml").write_text('target = "../lab"\n')
        self.want("hello=1.0")

    def want(self, spec: str) -> None:
        self.want_from(self.channel.as_uri(), spec)

    def want_from(self, url: str, spec: str) -> None:
        self.write_environment(f"channels: ['{url}']\ndependencies: [{spec}]\n")

    def write_environment(self, text: str, name: str = "tools") -> None:
        (self.definitions / "environments" / f"{name}.yaml").write_text(text)

    def command(self, *words: str) -> list[str]:
        return [installed(), "deploy", *words, "--definitions", str(self.definitions)]

    def deploy(self, *words: str) -> Ended:
        return run_installed("deploy", *words, "--definitions", str(self.definitions))

    def runs(self, tier: str, *command: str) -> str:
        """Return what a command prints in a tier, by default the channel's own."""
        words = command or ("hello",)
        return run_installed("run", "-t", self.layout.top, tier, *words).out

    @property
    def deployments(self) -> list[str]:
        return sorted(os.listdir(self.layout.deployments))


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Served:
    """A channel over http, on the loopback."""

    handler: type[Quiet] = Quiet

    def __init__(self, channel: Path) -> None:
        handler = partial(self.handler, directory=str(channel))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Hanging(Served):
    """One that sends no archive until it is told to; ``ending`` is how their names end.

    Of each it sends a part at first, if ``part`` says so.
    """

    part = 0.0

    def __init__(self, channel: Path, ending: str = ".tar.bz2") -> None:
        self._asked, self._over = threading.Event(), threading.Event()
        self._is_gone = False
        hanging = self

        class Handler(Quiet):
            def do_GET(self) -> None:
                place = self.translate_path(self.path)
                if self.path.endswith(ending) and hanging.part and os.path.isfile(place):
                    self.send_in_parts(Path(place).read_bytes())
                    return
                if self.path.endswith(ending):
                    hanging._asked.set()
                    hanging._over.wait()
                if hanging._is_gone:
                    self.close_connection = True
                else:
                    with suppress(BrokenPipeError):  # who asked is gone
                        super().do_GET()

            def send_in_parts(self, data: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                first = int(len(data) * hanging.part)
                self.wfile.write(data[:first])
                self.wfile.flush()
                hanging._asked.set()
                hanging._over.wait()
                with suppress(OSError):  # who asked is gone
                    self.wfile.write(data[first:])

        self.handler = Handler
        super().__init__(channel)

    def wait_for_an_archive(self) -> None:
        """Wait until somebody asks for one."""
        assert self._asked.wait(20)

    def go_on(self) -> None:
        """Send archives from now on."""
        self._over.set()

    def go_away(self) -> None:
        """Answer nothing any more."""
        self._is_gone = True
        self.go_on()

    def __exit__(self, *error: object) -> None:
        self.go_on()
        super().__exit__(*error)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started, with whichever of its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for found in lists for child in found.read_text().split()]


def wait_until_ended(pid: int, seconds: float = 10.0) -> None:
    """Wait until a process is gone, or has just ended; fail if it does not."""
    deadline = time.monotonic() + seconds
    while _is_running(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
