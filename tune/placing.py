"""The options that tell one node of several from the others."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from executor.workers.world import Host
from tune.cli import usage_problem


def placing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a command the options `--node-rank` and `--main-address`; it receives them as `host`."""

    @functools.wraps(command)
    def with_host(*, node_rank: int, main_address: str, **options: Any) -> Any:  # noqa: ANN401  whatever the command takes and returns
        return command(host=_host(node_rank, main_address), **options)

    rank = click.option(
        "--node-rank",
        type=click.IntRange(min=0),
        default=0,
        envvar="TUNE_NODE_RANK",
        metavar="N",
        help="Which of several nodes this is; all but 0 only train along. [env: TUNE_NODE_RANK]",
    )
    address = click.option(
        "--main-address",
        default="",
        envvar="TUNE_MAIN_ADDRESS",
        metavar="HOST[:PORT]",
        help="Where the other nodes reach node 0; by default its name and any port. [env: TUNE_MAIN_ADDRESS]",
    )
    placed: Callable[..., Any] = rank(address(with_host))
    return placed


def _host(node_rank: int, main_address: str) -> Host:
    name, _, port = main_address.partition(":")
    if port and not (port.isdecimal() and 0 < int(port) < 2**16):  # ports have 16 bits
        raise usage_problem(f"`{port}` is no port.", "Write HOST or HOST:PORT.")
    return Host(node_rank, name, int(port or 0))
