"""The entry point: finds the command, loads only what it needs, and turns problems into messages."""

from __future__ import annotations

import atexit
import errno
import gc
import keyword
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click

from state.diagnostic import Diagnostic, ProblemError
from state.wording import stopped, suggestion
from tune import __version__

INTERRUPTED = 130
REFUSALS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR),
    *(errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE),
)
"""What an operating system may say of any path; that a file is not there, we must have noticed before."""
PACKAGES = ("state", "planner", "executor")
COMMANDS = {
    "init": "Write a recipe to start from.",
    "validate": "Check a recipe without planning anything.",
    "fmt": "Put a recipe in canonical form.",
    "plan": "Show what has to be done, and why.",
    "apply": "Do what the plan says, and record it.",
    "show": "Show a saved plan.",
    "preview": "Show rows as the model will see them, and what is trained.",
    "graph": "Draw what is made from what.",
    "state": "Look at what exists, and put it in order.",
    "diff": "Show what changed between two writes of the state.",
    "output": "Print where finished artifacts lie.",
    "chat": "Talk to a model that was made, or to two side by side.",
    "serve": "Print or start the command that serves a model.",
    "verify": "Check one thing that was made, or make it once more and compare.",
    "import": "Adopt a model or an adapter that was made elsewhere.",
    "accept": "Record that what exists is good for an edit, and why.",
    "doctor": "Look at what could go wrong on this machine.",
    "gc": "Remove artifacts that nothing needs any more.",
    "export-audit": "Write the papers of an artifact: bill of materials, provenance, model card.",
    "explain": "Say what a diagnostic means, and what to do about it.",
    "completion": "Print what makes a shell complete commands and options.",
}


class LazyCommands(click.Group):
    """Imports a command's module only when it is used, so that no command pays for another's imports."""

    package = "tune.commands"
    texts: Mapping[str, str] = COMMANDS
    """What each command does, in the order in which they are listed.

    Its module has its name, with `_` for `-`, and after a word that Python keeps for itself (`import_`).
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """In the order in which they are used."""
        return list(self.texts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  as above
        """The command of a module in the package."""
        if cmd_name not in self.texts:
            return None
        name = cmd_name.replace("-", "_") + ("_" if keyword.iskeyword(cmd_name) else "")
        module = import_module(f"{self.package}.{name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is named first; raises UsageError, with the nearest name, if there is none."""
        name = args[0]
        if name not in self.texts and not name.startswith("-") and not ctx.resilient_parsing:
            nearest = suggestion(name, list(self.texts))
            raise click.UsageError(f"There is no command `{name}`. {nearest}".rstrip(), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  as above
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.texts.items()))


class Commands(LazyCommands):
    """All commands; the one place where problems end."""

    kept: tuple[object, ...] = ()

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  click's signature
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ProblemError as error:
            from tune.views.diagnostics import print_diagnostics

            print_diagnostics(error.diagnostics, in_vain=True)
            ctx.exit(1)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tune")
def commands() -> None:
    """Terraform for fine-tuned language models: a recipe in git, a plan to review, a state that knows what exists."""


def keep(*made: object) -> None:
    """Keep what a command made until its process has ended: to free it takes a thirtieth of a large plan's time."""
    commands.kept = made


def main() -> None:
    """Run the command line."""
    # Much is made and little dropped: looking for circles of garbage takes a third of a large plan's time.
    gc.set_threshold(100_000, 20, 20)
    _refuse_strangers()
    _leave(_run())


def _leave(code: int) -> NoReturn:
    """End the process at once; Python would first take apart all that was loaded, an eighth of a small plan's time."""
    atexit._run_exitfuncs()  # noqa: SLF001  what os._exit leaves out
    os._exit(code)


def _run() -> int:
    """The exit code. Wrong usage is 1 as any error: 2 means that a plan has changes."""
    try:
        code = commands.main(prog_name="tune", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 1
    except click.ClickException as error:
        return _told(error)
    except click.Abort:
        sys.stderr.write("Aborted: nothing was done.\n")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough; Python must not complain while it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _by_the_system(error)
    return code if isinstance(code, int) else 0


def _by_the_system(error: OSError) -> int:
    """The exit code, after it was told what the operating system does not let us do."""
    if error.errno == errno.ENOSPC:
        return _refused(Diagnostic("Disk full", _full(error), "Make room, and do the same again."))
    if error.errno not in REFUSALS or not error.filename:
        raise error
    detail = f"`{os.fsdecode(error.filename)}`: {error.strerror}."
    return _refused(Diagnostic("File refused", detail, "Look at its path, and at who may read and write there."))


def _full(error: OSError) -> str:
    return f"There is no room left for {f'`{error.filename}`' if error.filename else 'what is written'}."


def _told(error: click.ClickException) -> int:
    """The exit code, after wrong usage was told as any other problem."""
    context = getattr(error, "ctx", None)
    hint = f"`{context.command_path if context else 'tune'} --help` lists what there is."
    return _refused(Diagnostic("Invalid usage", stopped(error.format_message()), hint))


def _refused(diagnostic: Diagnostic) -> int:
    """The exit code, after a problem was told."""
    from tune.views.diagnostics import print_diagnostics

    print_diagnostics([diagnostic])
    return 1


def _refuse_strangers() -> None:
    """Stop if another distribution has put a package of the same name in front of ours."""
    home = Path(__file__).resolve().parents[1]
    for name in PACKAGES:
        origin = import_module(name).__file__
        if origin is None or Path(origin).resolve().parents[1] != home:
            sys.stderr.write(
                f"Error: the package `{name}` comes from {origin}, not from tune.\n"
                "Another distribution has overwritten it: install tune into an environment of its own.\n"
            )
            sys.exit(1)


def usage_problem(detail: str, hint: str = "") -> ProblemError:
    """The problem of options that do not go together."""
    return ProblemError(Diagnostic("Invalid usage", detail, hint))
