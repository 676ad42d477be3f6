"""`tune completion`: what makes a shell complete commands, options and paths."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

VARIABLE = "_TUNE_COMPLETE"
"""By which the shell asks; click takes it from the program's name."""
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete `tune`.

    \b
    bash:  eval "$(tune completion bash)"            in ~/.bashrc
    zsh:   eval "$(tune completion zsh)"             in ~/.zshrc
    fish:  tune completion fish > ~/.config/fish/completions/tune.fish
    """  # noqa: D301  click's mark for lines that it must not join
    click.echo(SHELLS[shell](context.find_root().command, {}, "tune", VARIABLE).source())
