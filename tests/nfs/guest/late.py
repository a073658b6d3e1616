"""Stands before an NFS server of version 3 and has a request come late: ``late.py PORT RULE``.

RULE is a file: ``rename N remove M`` keeps the N-th request for a rename that comes after
the file was written, and all that repeat it, until the M-th request for a removal comes
after that. Just before that one it is carried out, and RULE.done is made. So it is where
requests overtake each other: in several connections (``nconnect``), or in the threads of a
server. What was kept is answered to nobody. Without the file everything passes.
"""

import os
import select
import socket
import struct
import sys
import threading
from contextlib import suppress

_NFSD = ("127.0.0.1", 2049)
_NFS = 100003
# Procedures of version 3, by their numbers.
_V3 = {14: "rename", 12: "remove"}


class _Rule:
    """Which request is kept, and until when."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._read = 0
        self._left: dict[str, int] = {}
        self._xid: int | None = None
        self.late: bytes | None = None

    def keeps(self, request: bytes) -> bool:
        """Say whether a request is kept for now."""
        with self._lock:
            self._read_anew()
            (xid,) = struct.unpack_from(">I", request, 4)
            if self._xid is not None:
                return xid == self._xid
            if not self._counts_down(request, "rename"):
                return False
            self._xid, self.late = xid, request
            return True

    def releases(self, request: bytes) -> bytes | None:
        """Return what is late, if a request ends that."""
        with self._lock:
            if self.late is None or not self._counts_down(request, "remove"):
                return None
            late, self.late = self.late, None
            return late

    def tell(self) -> None:
        """Leave a file beside the rule that says that what was late was carried out."""
        with open(f"{self._path}.done", "w"):
            pass

    def _counts_down(self, request: bytes, kind: str) -> bool:
        if kind != _kind(request) or kind not in self._left:
            return False
        self._left[kind] -= 1
        return not self._left[kind]

    def _read_anew(self) -> None:
        with suppress(FileNotFoundError):
            number = os.stat(self._path).st_ino
            if number != self._read:
                with open(self._path) as file:
                    kept, often, until, times = file.read().split()
                self._left = {kept: int(often), until: int(times)}
                self._read, self._xid, self.late = number, None, None
                with suppress(FileNotFoundError):
                    os.unlink(f"{self._path}.done")


def _kind(request: bytes) -> str | None:
    program, version, procedure = struct.unpack_from(">3I", request, 16)
    return _V3.get(procedure) if (program, version) == (_NFS, 3) else None


def _serve(client: socket.socket, rule: _Rule) -> None:
    with suppress(OSError), client, socket.socket() as server:
        _bind_to_privileged_port(server)
        server.connect(_NFSD)
        pending = b""
        while True:
            for ready in select.select([client, server], [], [])[0]:
                data = ready.recv(1 << 20)
                if not data:
                    return
                if ready is server:
                    client.sendall(data)
                    continue
                *requests, pending = _records(pending + data)
                for request in requests:
                    _pass_on(request, rule, server)


def _records(data: bytes) -> list[bytes]:
    """Return the whole records, and last what is left."""
    records = []
    while len(data) >= 4 and len(data) >= (
        size := 4 + (struct.unpack_from(">I", data)[0] & ~(1 << 31))
    ):
        records.append(data[:size])
        data = data[size:]
    return [*records, data]


def _pass_on(request: bytes, rule: _Rule, server: socket.socket) -> None:
    if rule.keeps(request):
        return
    late = rule.releases(request)
    if late is not None:
        # In a connection of its own, which is closed when it was carried out.
        with socket.socket() as own:
            _bind_to_privileged_port(own)
            own.connect(_NFSD)
            own.sendall(late)
            own.recv(1 << 16)
        rule.tell()
    server.sendall(request)


def _bind_to_privileged_port(server: socket.socket) -> None:
    for port in range(1023, 600, -1):
        with suppress(OSError):
            server.bind(("127.0.0.1", port))
            return
    raise OSError("no port is free")


def _main(port: str, rule: str) -> None:
    wanted = _Rule(rule)
    listening = socket.create_server(("", int(port)))
    while True:
        client, _ = listening.accept()
        threading.Thread(target=_serve, args=[client, wanted], daemon=True).start()


if __name__ == "__main__":
    _main(*sys.argv[1:])
