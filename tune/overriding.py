"""What a person says beside the recipe: `--var`, `--set`, and variables of the environment."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import click

from planner.overrides import Overrides
from tune.cli import usage_problem

PREFIX = "TUNE_VAR_"


def from_environment() -> Overrides:
    """What `TUNE_VAR_name` gives to variables."""
    names = (name for name in os.environ if name.startswith(PREFIX))
    return Overrides(environment={name.removeprefix(PREFIX): os.environ[name] for name in names})


def overriding(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options `--var` and `--set`; it receives both, and the environment, as `overrides`."""

    @click.option(
        "--var", "variables", multiple=True, metavar="NAME=VALUE", help="Give a variable of `[vars]` a value."
    )
    @click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="PATH=VALUE",
        help="Set a field, such as train.sft.seed=1, instead of the recipe.",
    )
    @functools.wraps(command)
    def with_overrides(*, variables: tuple[str, ...], settings: tuple[str, ...], **options: Any) -> Any:  # noqa: ANN401  whatever the command takes and returns
        given = Overrides(_by_name(variables), settings, from_environment().environment)
        return command(overrides=given, **options)

    return with_overrides


def _by_name(variables: tuple[str, ...]) -> dict[str, str]:
    given = {}
    for text in variables:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise usage_problem(f"--var `{text}` gives no value.", "Write `--var name=value`.")
        given[name] = value
    return given
