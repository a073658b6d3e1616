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


def typed(path: str) -> str:
    """Return a path as it is typed in a command."""
    import shlex

    return shlex.quote(shown(path))


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
