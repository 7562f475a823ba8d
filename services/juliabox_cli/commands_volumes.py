"""``juliabox volume``: people's homes, putting one aside, and bringing it back."""

from __future__ import annotations

import datetime
import json
from typing import Any

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from juliabox_cli.installation import open_installation
from juliabox_manager.protocol import VolumeInfo, VolumeList, VolumeRemove, VolumeRestore

#: Seconds for the manager to look at all disks, or to move one.
_LIMIT = 60.0


@click.group()
def volume() -> None:
    """List, remove and restore people's homes."""


@volume.command("list")
@click.argument("owner", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(owner: str, as_json: bool) -> None:
    """List the homes, of OWNER alone or of all, the removed ones too."""
    found: list[VolumeInfo] = open_installation().manager.call(VolumeList(owner or None), _LIMIT)
    rows = [_row(one) for one in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for name in ("owner", "state", "size", "on the host", "sessions", "plugin", "deleted after"):
        table.add_column(name)
    for row in rows:
        table.add_row(
            row["owner"] or "?",
            row["state"],
            decimal(row["size"]) if row["size"] else "",
            decimal(row["allocated"]) if row["allocated"] else "",
            str(len(row["sessions"]) or ""),
            row["plugin"],
            row["delete_after"] or "",
        )
    Console().print(table)


def _row(one: VolumeInfo) -> dict[str, Any]:
    return {
        "volume": one.volume,
        "owner": one.owner,
        "state": one.state,
        "size": one.size,
        "allocated": one.allocated,
        "sessions": one.sessions,
        "plugin": one.plugin,
        "delete_after": _moment(one.delete_after),
    }


def _moment(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


@volume.command()
@click.argument("owner")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(owner: str, yes: bool) -> None:
    """Put OWNER's home aside; it is deleted when `volumes.deletion_grace` is over."""
    manager = open_installation().manager
    if not yes:
        click.confirm(f"Put the home of {owner} aside, to be deleted later?", abort=True)
    before: list[VolumeInfo] = manager.call(VolumeList(owner), _LIMIT)
    if all(one.state == "removed" for one in before):
        click.echo(f"{owner} has no home")
        return
    manager.call(VolumeRemove(owner), _LIMIT)
    click.echo(f"put aside; `juliabox volume restore {owner}` brings it back")


@volume.command()
@click.argument("owner")
def restore(owner: str) -> None:
    """Bring back the newest home that was put aside for OWNER."""
    open_installation().manager.call(VolumeRestore(owner), _LIMIT)
    click.echo("restored")


COMMANDS: list[click.Command] = [volume]
