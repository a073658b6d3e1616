"""``tierctl completion``."""

from __future__ import annotations

import click

from tierctl.cli.commands import COMMANDS
from tierctl.cli.shared import options
from tierctl.cli.shared.output import result


@click.command("completion", short_help=COMMANDS["completion"])
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="SHELL")
@options.show_help
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash, in ~/.bashrc:
        source <(tierctl completion bash)
    zsh, in ~/.zshrc, after compinit:
        source <(tierctl completion zsh)
    fish, once:
        mkdir -p ~/.config/fish/completions
        tierctl completion fish > ~/.config/fish/completions/tierctl.fish
    """  # noqa: D301 (click reads the backspace: keep these lines)
    from click.shell_completion import ShellComplete, get_completion_class

    group = ctx.find_root().command
    complete = get_completion_class(shell)
    assert complete is not None  # noqa: S101 (the shells above are those that click knows)
    # Not bash's own: that starts bash, with all that its user's environment brings along.
    result(ShellComplete.source(complete(group, {}, "tierctl", "_TIERCTL_COMPLETE")))
