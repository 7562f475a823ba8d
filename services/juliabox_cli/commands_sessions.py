"""``juliabox session``: what runs, and stopping it."""

from __future__ import annotations

import datetime
import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from juliabox_cli.hub_api import user_path
from juliabox_cli.installation import Installation, open_installation
from juliabox_ext.errors import JuliaBoxError
from juliabox_manager.protocol import Ping, Pong, SessionInfo, SessionList, SessionStop


@click.group()
def session() -> None:
    """List and stop people's sessions."""


@session.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List all sessions, oldest first."""
    rows = session_rows(open_installation())
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    columns = ("user", "server", "state", "started", "container", "instance")
    for name in columns:
        table.add_column(name)
    for row in rows:
        shown = {**row, "container": row["container"][:12]}
        table.add_row(*(str(shown[name] or "") for name in columns))
    Console().print(table)


def session_rows(installation: Installation) -> list[dict[str, Any]]:
    """Return what ``session list --json`` prints."""
    pong: Pong = installation.manager.call(Ping())
    sessions: list[SessionInfo] = installation.manager.call(SessionList())
    return [
        {
            "user": one.owner,
            "server": one.server,
            "container": one.container,
            "instance": pong.instance,
            "state": one.state,
            "started": _moment(one.started),
        }
        for one in sessions
    ]


def _moment(seconds: float) -> str | None:
    if not seconds:
        return None
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


@session.command()
@click.argument("user")
@click.argument("server", default="")
@click.option("--force", is_flag=True, help="Ask the manager alone, when the hub does not answer.")
def stop(user: str, server: str, force: bool) -> None:
    """Stop USER's session (SERVER names one of several)."""
    installation = open_installation()
    if force:
        sessions: list[SessionInfo] = installation.manager.call(SessionList())
        found = [one for one in sessions if (one.owner, one.server) == (user, server)]
        for one in found:
            installation.manager.call(SessionStop(one.session), timeout=60.0)
        click.echo(f"{len(found)} stopped")
        return
    path = f"{user_path(user)}/servers/{server}" if server else f"{user_path(user)}/server"
    try:
        installation.hub.call("DELETE", path, timeout=60.0)
    except JuliaBoxError as error:
        if "not running" not in error.message:
            raise
        click.echo(f"{user} has no running session of that name")
        return
    click.echo("stopped")


COMMANDS: list[click.Command] = [session]
