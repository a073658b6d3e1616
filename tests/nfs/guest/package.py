"""Writes a channel, a package of many files and definitions: ``package.py PLACE FILES``."""

import random
import sys
from pathlib import Path

from tierctl.demo.channel import write_package

_FILE_BYTES = 2000


def _main(place: Path, files: int) -> None:
    chance = random.Random(files)
    contents = {
        f"lib/tool/part{number // 100}/file{number}": chance.randbytes(_FILE_BYTES // 2).hex()
        for number in range(files)
    }
    write_package(place / "channel", "tool", "1.0", contents)
    environments = place / "definitions" / "environments"
    environments.mkdir(parents=True)
    text = f"channels: [{(place / 'channel').as_uri()}]\ndependencies: [tool=1.0]\n"
    (environments / "main.yaml").write_text(text)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
