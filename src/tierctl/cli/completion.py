"""``tierctl completion``."""

from __future__ import annotations

import click

from tierctl.cli import options
from tierctl.cli.commands import COMMANDS
from tierctl.cli.output import result


@click.command("completion", short_help=COMMANDS["completion"])
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@options.show_help
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash   tierctl completion bash > ~/.local/share/bash-completion/completions/tierctl
    zsh    tierctl completion zsh > DIR/_tierctl, DIR being in fpath
    fish   tierctl completion fish > ~/.config/fish/completions/tierctl.fish
    """  # noqa: D301 (click reads the backspace: keep these lines)
    from click.shell_completion import get_completion_class

    group = ctx.find_root().command
    complete = get_completion_class(shell)
    assert complete is not None  # noqa: S101 (the shells above are those that click knows)
    result(complete(group, {}, "tierctl", "_TIERCTL_COMPLETE").source())
