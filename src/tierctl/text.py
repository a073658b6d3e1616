"""How names and paths reach people."""


def shown(path: str) -> str:
    r"""Return a path as one printable line.

    Control characters, undecodable bytes and other unprintable characters are
    escaped (a newline becomes ``\n``, an undecodable byte ``\xff``), so that no
    name on disk can forge a line of output or change the terminal.
    """
    if path.isprintable():
        return path
    return "".join(char if char.isprintable() else _escaped(char) for char in path)


def is_utf8(path: str) -> bool:
    """Say whether a path is text to every program, and not some bytes to a few."""
    return not any("\udc80" <= char <= "\udcff" for char in path)


def typed(path: str) -> str:
    """Return a path as it is typed in a command."""
    import shlex

    return shlex.quote(shown(path))


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def size(count: float) -> str:
    """Return a number of bytes as people say it: 512 B, 1.5 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def counted(number: int, of: str, ending: str = "s") -> str:
    """Return how many there are of something: 1 package, 2 packages."""
    return f"{number} {of}{'' if number == 1 else ending}"
