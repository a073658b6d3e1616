"""The picture of ``tierctl status`` in README: ``python tests/picture.py > docs/status.svg``."""

import io
import re
import tempfile
from html import unescape
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import NIGHT_OWLISH

from reporters import Heard
from targets import make_target, with_profiles
from tierctl.change import change
from tierctl.change.requests import Promotion
from tierctl.cli.shared import screen
from tierctl.fs.local import OsFileSystem
from tierctl.report import status
from tierctl.target.paths import Layout
from tierctl.target.target import Target
from tierctl.target.users import Author

SHOWN_AS = "/software/lab"
COLUMNS = 100


def draw(directory: Path) -> str:
    """Return the SVG of what ``status`` shows of a target with a little history."""
    fs, layout = OsFileSystem(), with_profiles(make_target(directory, blue=42, green=41))
    author = Author("ada", "login1", "numpy 2, new plots")
    change.carry_out(Target(fs, layout), Promotion(), author, Heard(), lock_timeout=0)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), highlight=False)
    shown = Layout.of_target(SHOWN_AS)
    console.print(screen.StatusTable(shown, status.read(Target(fs, layout))))
    svg = console.export_svg(title="$ tierctl status", theme=NIGHT_OWLISH, unique_id="status")
    return re.sub(r"@font-face \{.*?\}", "", svg, flags=re.S)  # a picture asks no other host


def words(svg: str) -> str:
    """Return the text of a picture, without what differs from run to run."""
    lines = re.findall(r"<text [^>]*>(.*?)</text>", svg)
    text = unescape("\n".join(lines)).replace("\xa0", " ")
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", text)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        print(draw(Path(directory) / "lab"), end="")
