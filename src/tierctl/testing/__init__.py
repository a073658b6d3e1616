"""Doubles for tests: a filesystem in memory, and one that fails where it is told to."""

from tierctl.testing.faulty import Effect, Fault, FaultyFileSystem, Killed, Operation
from tierctl.testing.memory import MemoryClient, MemoryFileSystem

__all__ = [
    "Effect",
    "Fault",
    "FaultyFileSystem",
    "Killed",
    "MemoryClient",
    "MemoryFileSystem",
    "Operation",
]
