"""The engine gives up where nothing happens, and says what it has waited for."""

import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from archives import PYTHON, Package
from lab import Lab, Served, wait_until_ended
from program import run_installed
from tierctl.demo.channel import NOARCH, SUBDIR, write_package
from tierctl.deploy.definitions.environments import Environment
from tierctl.deploy.definitions.problems import Place
from tierctl.deploy.engine import client, stall
from tierctl.deploy.engine.failures import EngineFailed
from tierctl.deploy.engine.worker import bytecode
from tierctl.deploy.engine.worker.failures import Failed

pytest.importorskip("rattler")

LIMIT_S = 2
Behave = Callable[[socket.socket], None]


def be_silent(client: socket.socket) -> None:
    client.recv(1 << 16)
    client.recv(1)


def trickle(client: socket.socket) -> None:
    """Send a byte now and then, so that there is always something to come."""
    request = client.recv(1 << 16)
    if request.startswith(b"HEAD"):
        client.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        client.close()
        return
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{")
    while True:
        client.sendall(b" ")
        time.sleep(0.2)


def trickle_a_header(client: socket.socket) -> None:
    client.recv(1 << 16)
    client.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        client.sendall(b"X-More: yes\r\n")
        time.sleep(0.2)


@contextmanager
def serving(behave: Behave) -> Iterator[str]:
    """Serve each client badly; have the server's address."""

    def serve(client: socket.socket) -> None:
        with client, suppress(OSError):
            behave(client)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                threading.Thread(target=serve, args=[client], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)


def environment(channel: str, *specs: str) -> Environment:
    return Environment("tools", Place("tools.yaml", 1), (channel,), specs)


@pytest.mark.parametrize("behave", [be_silent, trickle, trickle_a_header])
def test_a_server_that_sends_next_to_nothing_is_named(behave: Behave, tmp_path: Path) -> None:
    begun = time.monotonic()
    with (
        serving(behave) as address,
        client.started(str(tmp_path / "cache"), timeout=LIMIT_S) as run,
        pytest.raises(EngineFailed) as caught,
    ):
        run.solve([environment(f"http://{address}/channel", "hello")], SUBDIR)
    assert time.monotonic() - begun < 30
    said = caught.value.reasons["engine"]
    assert f"nothing has happened for 2 s; connected to {address}" == said
    assert "deploy with --timeout SECONDS" in caught.value.hint


def test_so_is_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(be_silent) as address:
        monkeypatch.setenv("http_proxy", f"http://{address}")
        with (
            client.started(str(tmp_path / "cache"), timeout=LIMIT_S) as run,
            pytest.raises(EngineFailed, match=f"connected to {address}"),
        ):
            run.solve([environment("http://channel.example/channel", "hello")], SUBDIR)


def test_an_archive_that_does_not_come_ends_the_deploy_and_all_it_started(
    tmp_path: Path,
) -> None:
    lab = Lab(tmp_path)

    class Stalling(Served):
        class handler(Served.handler):  # noqa: N801 (an attribute)
            def do_GET(self) -> None:  # noqa: N802 (as its base calls it)
                if self.path.endswith(".tar.bz2"):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                    self.connection.recv(1)
                else:
                    super().do_GET()

    with Stalling(lab.channel) as server:
        lab.want_from(server.url, "hello=1.0")
        done = lab.deploy("dev1", "--timeout", str(LIMIT_S), "--json")
    error = done.document["error"]
    assert (1, "engine-failed") == (done.code, error["code"])
    assert "could not install:\n  engine: nothing has happened for 2 s" in error["message"]
    assert [] == lab.deployments


def test_a_pip_index_that_is_silent_is_named(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    files = {f"lib/python{PYTHON}/site-packages/README": "", "bin/python": "#!/bin/sh\n"}
    version = ".".join(map(str, sys.version_info[:3]))
    write_package(lab.channel, "python", version, files, subdir=NOARCH)
    with serving(be_silent) as address:
        lab.write_environment(
            f"channels: ['{lab.channel.as_uri()}']\n"
            f"dependencies: [python, pip: ['--index-url http://{address}/simple', data]]\n"
        )
        done = lab.deploy("dev1", "--timeout", str(LIMIT_S))
    assert 1 == done.code
    assert f"connected to {address}" in done.err


def with_python(channel: Path, script: str) -> str:
    """Have a package with a python of one's own, and a module for it to compile."""
    Package(
        "python",
        "3.11.0",
        {"bin/python": script.encode(), "lib/python3.11/site-packages/module.py": b""},
    ).write(channel)
    return channel.as_uri()


@pytest.mark.parametrize(
    "script",
    [
        "#!/bin/sh\nsleep 600\n",
        "#!/bin/sh\nwhile :; do :; done\n",
        "#!/bin/sh\nsleep 600 & wait\n",
    ],
)
def test_a_python_that_hangs_while_modules_are_compiled_is_named_and_killed(
    tmp_path: Path, script: str
) -> None:
    channel, prefix = with_python(tmp_path / "channel", script), tmp_path / "prefix"
    with client.started(str(tmp_path / "cache"), timeout=LIMIT_S) as run:
        run.solve([environment(channel, "python")], SUBDIR)
        with pytest.raises(EngineFailed) as caught:
            run.install({"tools": str(prefix)}, {})
    said = caught.value.reasons["engine"]
    waiting = re.fullmatch(r"nothing has happened for 2 s; it waits for .*, process (\d+)", said)
    assert waiting, said
    wait_until_ended(int(waiting[1]))


def test_one_that_prints_without_end_has_a_limit_of_its_own(tmp_path: Path) -> None:
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\nwhile :; do echo; done\n")
    python.chmod(0o755)
    module = tmp_path / "lib" / "python3" / "site-packages" / "module.py"
    module.parent.mkdir(parents=True)
    module.touch()
    with pytest.raises(Failed, match=r"bin/python has not compiled its modules within 0.5 s"):
        bytecode.compile_modules(str(tmp_path), 0.5)


@pytest.mark.parametrize("at_work", ["computes", "reads", "a child reads"])
def test_who_is_at_work_is_left_alone(at_work: str) -> None:
    told: list[stall.Stalled] = []
    until = time.monotonic() + 1.5
    with stall.watched(os.getpid(), 0.4, told.append):
        while time.monotonic() < until:
            match at_work:
                case "computes":
                    sum(range(10_000))
                case "reads":
                    Path(__file__).read_bytes()
                    time.sleep(0.005)
                case _:
                    dd = ["dd", "if=/dev/zero", "of=/dev/null", "bs=1k", "count=1000"]
                    subprocess.run(dd, stderr=subprocess.DEVNULL, check=True)
    assert [] == told


def test_who_does_nothing_is_told_of_once() -> None:
    told: list[stall.Stalled] = []
    with stall.watched(os.getpid(), 0.3, told.append):
        time.sleep(1.5)
    assert [(0.3, "")] == [
        (each.seconds, each.waiting_for.partition("connected")[0]) for each in told
    ]


def test_nobody_is_watched_after_the_end() -> None:
    told: list[stall.Stalled] = []
    with stall.watched(os.getpid(), 0.3, told.append):
        pass
    time.sleep(0.6)
    assert [] == told


@pytest.mark.parametrize(
    ("kernel_s", "written"),
    [
        ("0100007F:1F90", "127.0.0.1:8080"),
        ("00000000000000000000000001000000:0050", "[::1]:80"),
        ("B80D0120000000000000000001000000:01BB", "[2001:db8::1]:443"),
    ],
)
def test_addresses_are_written_as_people_write_them(kernel_s: str, written: str) -> None:
    if sys.byteorder == "big":
        pytest.skip("these are of little-endian machines")
    assert written == stall._address(kernel_s)


@pytest.mark.parametrize("seconds", ["0", "0.5", "-1", "nan", "inf", "soon"])
def test_a_limit_is_a_number_of_seconds(seconds: str, tmp_path: Path) -> None:
    done = run_installed("deploy", "dev1", "-t", tmp_path, "--timeout", seconds)
    assert (2, True) == (done.code, "is not a number of seconds of 1 or more" in done.err)


def test_a_program_that_stops_the_engine_s_threads_with_it_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As nvidia-smi, which a library asks while it lets no other thread of Python run."""
    asked = tmp_path / "path" / "nvidia-smi"
    asked.parent.mkdir()
    asked.write_text("#!/bin/sh\nexec sleep 600\n")
    asked.chmod(0o755)
    monkeypatch.setenv("PATH", f"{asked.parent}:{os.environ['PATH']}")
    write_package(tmp_path / "channel", "hello", "1.0", {"bin/hello": ""})
    channel = (tmp_path / "channel").as_uri()
    with (
        client.started(str(tmp_path / "cache"), timeout=LIMIT_S) as run,
        pytest.raises(EngineFailed, match="it waits for sleep, process"),
    ):
        run.solve([environment(channel, "hello")], SUBDIR)


def test_who_waits_for_another_deploy_that_fetches_does_not_give_up(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    cache = Path(lab.layout.cache)
    cache.mkdir()
    with open(cache / ".cache.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(lab.command("dev1", "--timeout", "1"), stderr=subprocess.PIPE)
        time.sleep(4)
        assert waiting.poll() is None
    _, said = waiting.communicate(timeout=60)
    assert 0 == waiting.returncode, said


def test_who_has_waited_for_a_lock_has_the_whole_limit_again(tmp_path: Path) -> None:
    """What takes the lock then may sleep for a moment before it does anything."""
    takes = f"import fcntl, time; fcntl.flock(open({str(tmp_path / 'lock')!r}), 2); time.sleep(0.7)"
    told: list[stall.Stalled] = []
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            subprocess.Popen([sys.executable, "-c", takes]) as waiting,
            stall.watched(waiting.pid, 1, told.append),
        ):
            time.sleep(2)
            fcntl.flock(lock, fcntl.LOCK_UN)
            waiting.wait()
    assert [] == told
