"""``juliabox pool``: the warm containers that wait for people, and making them anew."""

from __future__ import annotations

import json

import click
import msgspec
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from juliabox_cli.installation import open_installation
from juliabox_manager.protocol import PoolInfo, PoolList, PoolRenew

_COLUMNS = ("image", "wanted", "ready", "loading", "claimed", "missed", "failed", "memory", "")


@click.group()
def pool() -> None:
    """List and renew the warm containers that wait for people."""


@pool.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List the pools, one of each image."""
    pools: list[PoolInfo] = open_installation().manager.call(PoolList())
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(pools), indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name)
    for one in pools:
        figures = (one.wanted, one.ready, one.loading, one.claimed, one.missed, one.failed)
        table.add_row(one.image, *map(str, figures), decimal(one.memory), one.reason)
    Console().print(table)


@pool.command()
def renew() -> None:
    """Remove all warm containers and make new ones; sessions are not touched."""
    open_installation().manager.call(PoolRenew(), timeout=60.0)
    click.echo("removed; new ones are made, see `juliabox pool list`")


COMMANDS: list[click.Command] = [pool]
