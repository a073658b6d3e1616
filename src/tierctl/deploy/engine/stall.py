"""Giving up where nothing happens: a server, a proxy or a program hangs.

Neither the engine nor uv can be told how slow is too slow: what they call a timeout
is how long a whole download may take, or how long no byte at all may come. So it is
seen from outside whether the engine's process computes, reads or writes, and whether
what it has started reads or writes: a program that only computes has no end in sight.
Not from a thread of that process, which its libraries can stop.
Without ``/proc`` nothing is seen, and everything is waited for.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from glob import glob
from typing import NamedTuple

from tierctl.fs import procfs

# A download that is slower than this has stalled, as has a process that takes less of a processor.
_BYTES = 1 << 16
_OF_A_PROCESSOR = 0.005
# So often it is looked within the limit.
_LOOKS = 20
_COUNTED = re.compile(rb"^[rw]char: (\d+)$", re.MULTILINE)
_LISTENS = "0A"
_IPV4_BYTES = 4


class Stalled(NamedTuple):
    """For how many seconds nothing has happened, and what is waited for."""

    seconds: float
    waiting_for: str


class _Signs(NamedTuple):
    """Signs of life: seconds of a processor, and bytes that each process has read or written."""

    computed: float
    moved: dict[int, int]


@contextmanager
def watched(pid: int, limit: float, give_up: Callable[[Stalled], None]) -> Iterator[None]:
    """Call ``give_up``, once and in another thread, if a process does nothing for so many seconds.

    Whatever it does after that, it may be ended there.
    """
    over = threading.Event()
    watching = threading.Thread(target=_watch, args=(pid, limit, give_up, over), daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()


def _watch(
    pid: int, limit: float, give_up: Callable[[Stalled], None], over: threading.Event
) -> None:
    since, moved = time.monotonic(), 0
    if over.wait(limit / _LOOKS):  # most questions are answered by then
        return
    last = marked = _signs(pid)
    while marked.moved and not over.wait(limit / _LOOKS):
        now = _signs(pid)
        moved += sum(count - last.moved.get(each, 0) for each, count in now.moved.items())
        last = now
        works = moved > _BYTES or now.computed - marked.computed > limit * _OF_A_PROCESSOR
        if works or _waits_for_a_lock(pid):  # after which it has the whole limit again
            since, marked, moved = time.monotonic(), now, 0
        elif time.monotonic() - since > limit:
            give_up(Stalled(limit, _waiting_for(pid)))
            return


def _waits_for_a_lock(pid: int) -> bool:
    """Say whether another process keeps this one from going on, as another deploy that fetches.

    That one gives up itself where nothing happens.
    """
    family = {str(each) for each in _family(pid)}
    try:
        with open("/proc/locks") as listed:  # "7: -> FLOCK ADVISORY WRITE 4711 ...": it waits
            return any(
                words[1:2] == ["->"] and words[5] in family for words in map(str.split, listed)
            )
    except OSError:
        return False


def _signs(pid: int) -> _Signs:
    moved = {
        each: sum(map(int, _COUNTED.findall(procfs.told(each, "io")))) for each in _family(pid)
    }
    return _Signs(_computed(pid), {each: count for each, count in moved.items() if count})


def _computed(pid: int) -> float:
    """Return for how many seconds a process has had a processor."""
    words = procfs.told(pid, "stat").rpartition(b") ")[2].split()  # from the third on: proc(5)
    return sum(map(int, words[11:13])) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> list[int]:
    """Return a process, what it has started, what that has, and so on."""
    found = [pid]
    for each in found:  # which grows meanwhile
        for path in glob(f"/proc/{each}/task/*/children"):
            with suppress(OSError), open(path) as listed:
                found += map(int, listed.read().split())
    return found


def _waiting_for(pid: int) -> str:
    """Return the program or the addresses that are waited for, as far as that can be seen."""
    _, *started = family = _family(pid)
    told = []
    if started and (command := procfs.told(started[-1], "cmdline").split(b"\0")[0]):
        told.append(f"it waits for {os.fsdecode(command)}, process {started[-1]}")
    if servers := sorted(_servers(family)):
        told.append(f"connected to {', '.join(servers)}")
    return "; ".join(told)


def _servers(family: list[int]) -> set[str]:
    own = {_leads_to(fd) for pid in family for fd in glob(f"/proc/{pid}/fd/*")}
    found = set()
    for name in ("tcp", "tcp6"):
        for line in procfs.told(family[0], f"net/{name}").decode().splitlines()[1:]:
            words = line.split()
            if words[3] != _LISTENS and f"socket:[{words[9]}]" in own:
                found.add(_address(words[2]))
    return found


def _leads_to(path: str) -> str:
    """Return what a link says, nothing if it has vanished: what is open is closed meanwhile."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _address(text: str) -> str:
    """Return an address as people write it; the kernel has words of four bytes, in its order."""
    import socket

    host, _, port = text.partition(":")
    words = [bytes.fromhex(host[at : at + 8])[::-1] for at in range(0, len(host), 8)]
    packed = b"".join(words)
    if len(packed) == _IPV4_BYTES:
        return f"{socket.inet_ntop(socket.AF_INET, packed)}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:{int(port, 16)}"
