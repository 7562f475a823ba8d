"""``juliabox user`` and ``juliabox token``: people, through the hub's REST API."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from juliabox_cli.hub_api import user_path
from juliabox_cli.installation import Installation, open_installation
from juliabox_ext.errors import ConflictError, InternalError
from juliabox_spawner.people_roles import PEOPLE_ROLES, PUBLISHERS
from juliabox_spawner.usernames import split


@click.group()
def user() -> None:
    """Add, list and remove people; give them roles."""


@user.command()
@click.argument("name")
@click.option("--admin", is_flag=True, help="Make the person an admin.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add(name: str, admin: bool, as_json: bool) -> None:
    """Add a person, with a generated password that is printed once.

    For somebody who exists already it sets a new password. A person of a log-in at a provider is
    named as oidc:ada and has no password here.
    """
    installation = open_installation()
    made, fresh = _ensure_user(installation, name, admin)
    admin = admin or bool(made.get("admin"))
    password = ""
    if installation.config.authentication.native and not split(made["name"])[0]:
        answer = installation.hub.call("POST", f"{user_path(made['name'])}/password", {})
        password = answer["password"]
    if as_json:
        click.echo(json.dumps({"name": made["name"], "admin": admin, "password": password}))
        return
    said = "is added" if fresh else "exists"
    click.echo(f"{made['name']} {said}{' as an admin' if admin else ''}")
    if password:
        click.echo(f"Password: {password}")
        click.echo("(shown this once; it can be changed on the page Password)")


def _ensure_user(installation: Installation, name: str, admin: bool) -> tuple[dict[str, Any], bool]:
    """Make the person, or bring the admin flag of an existing one up.

    Return the record, and whether the person is new.
    """
    try:
        return installation.hub.call("POST", user_path(name), {"admin": admin}), True
    except ConflictError:
        if admin:
            installation.hub.call("PATCH", user_path(name), {"admin": True})
        return installation.hub.call("GET", user_path(name)), False


@user.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """List all people."""
    rows = [
        {
            "name": one["name"],
            "admin": bool(one.get("admin")),
            "servers": sorted(one.get("servers") or {}),
            "last_activity": one.get("last_activity"),
        }
        for one in open_installation().hub.users()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "admin", "servers", "last activity"):
        table.add_column(heading)
    for row in rows:
        servers = ", ".join(server or "(default)" for server in row["servers"])
        table.add_row(
            row["name"], "admin" if row["admin"] else "", servers, str(row["last_activity"] or "")
        )
    Console().print(table)


@user.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Remove a person; the home is deleted after volumes.deletion_grace."""
    installation = open_installation()
    if not yes:
        click.confirm(f"Remove {name}?", abort=True)
    installation.hub.call("DELETE", user_path(name), timeout=120.0)
    click.echo(f"{name} is removed")


@user.command()
@click.argument("name")
@click.argument("role", type=click.Choice(sorted(PEOPLE_ROLES)))
def grant(name: str, role: str) -> None:
    """Give a person a role: the group of its name gets a member."""
    click.echo(f"{_change_role('POST', name, role)} has the role {role}")


@user.command()
@click.argument("name")
@click.argument("role", type=click.Choice(sorted(PEOPLE_ROLES)))
def revoke(name: str, role: str) -> None:
    """Take a role from a person; what a publisher published goes on answering."""
    found = _change_role("DELETE", name, role)
    click.echo(f"{found} has no longer the role {role}")
    if role == PUBLISHERS:
        click.echo(
            f"what {found} published goes on answering, and {found} may stop it; so may you: "
            "juliabox api list, juliabox api stop PUBLISHER/API"
        )


def _change_role(method: str, name: str, role: str) -> str:
    """Add a person to the group of a role, or remove them; return the name as the hub spells it."""
    hub = open_installation().hub
    found: str = hub.call("GET", user_path(name))["name"]
    hub.call(method, f"/groups/{role}/users", {"users": [found]})
    return found


@click.command()
@click.argument("name")
def token(name: str) -> None:
    """Print a new API token of NAME, alone, on standard output."""
    installation = open_installation()
    made = installation.hub.call(
        "POST", f"{user_path(name)}/tokens", {"note": "made by juliabox token"}
    )
    if not isinstance(made, dict) or not made.get("token"):
        raise InternalError("the hub answered without a token")
    click.echo(made["token"])


COMMANDS: list[click.Command] = [user, token]
