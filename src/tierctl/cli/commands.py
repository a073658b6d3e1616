"""The table of commands: their names and short help, known without importing one."""

from __future__ import annotations

from importlib import import_module

import click

COMMANDS = {
    "bootstrap": "Create a target.",
    "deploy": "Build definitions, and point a tier to the result.",
    "promote-staging": "Make staging's color production.",
    "rollback": "Let production serve what it served before.",
    "diff": "Compare the packages of two tiers.",
    "verify": "Say whether deployments are what was built.",
    "run": "Run a command inside a tier.",
    "status": "Show what production and staging serve.",
    "history": "List who changed what, when and why.",
    "prune": "Remove deployments and cached packages that nobody needs.",
    "doctor": "Say what is wrong with a target.",
    "demo": "Play the whole story on a throw-away target.",
    "completion": "Print a shell's completion script.",
}


class CommandGroup(click.Group):
    """A group that imports a command when it is called, and lists them from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module("tierctl.cli." + cmd_name.replace("-", "_"))
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that does not exist may be a misspelt one."""
        if args and args[0] not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=2, cutoff=0.5)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"No such command {args[0]!r}.{meant}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        """Complete a command's name from the table, and the group's options."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        # Click's own way asks every command for its help, which imports them all.
        return names + click.Command.shell_complete(self, ctx, incomplete)
