"""Commands for the service as a whole: up, down, destroy, status, logs, doctor."""

from __future__ import annotations

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from juliabox_cli import doctor as doctor_checks
from juliabox_cli import down as down_steps
from juliabox_cli import health
from juliabox_cli import up as up_steps
from juliabox_cli.compose import PARTS, parts_of
from juliabox_cli.installation import Installation, open_installation
from juliabox_cli.rendering import public_url
from juliabox_cli.state import find_state
from juliabox_ext.errors import NotFoundError


@click.command()
def up() -> None:
    """Start the service, or bring it in line with config.yaml; replaces only what changed."""
    console = Console(stderr=True)
    outcome = up_steps.up(console)
    click.echo(f"JuliaBox is at {outcome.url}")
    if outcome.password:
        click.echo(f"Log in as {outcome.admin} with the password {outcome.password}")
        click.echo("(shown this once; it is kept in secrets/hub/admin_password)")


@click.command()
@click.option("--keep-sessions", is_flag=True, help="Let running sessions go on.")
def down(keep_sessions: bool) -> None:
    """Stop the service and its sessions; all data is kept."""
    down_steps.down(Console(stderr=True), keep_sessions=keep_sessions)
    click.echo("JuliaBox is down; all data is kept")


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(yes: bool) -> None:
    """Stop the service and delete everything of this installation, homes included."""
    if not yes:
        root = find_state().root
        click.confirm(f"Delete all homes, users and settings in {root}?", abort=True)
    down_steps.destroy(Console(stderr=True))
    click.echo("JuliaBox and all its data are gone; images stay on the engine")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show whether every part does its work; exit code 1 if one does not."""
    document = status_document(open_installation())
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        table = Table(box=None, pad_edge=False)
        for heading in ("part", "state", "detail"):
            table.add_column(heading)
        for name, one in document["components"].items():
            table.add_row(name, one["state"], str(one.get("reason") or one.get("version") or ""))
        Console().print(table)
        click.echo(f"{'healthy' if document['healthy'] else 'NOT healthy'}: {document['url']}")
    sys.exit(0 if document["healthy"] else 1)


def status_document(installation: Installation) -> dict[str, Any]:
    """Return what ``status --json`` prints."""
    if installation.state.read_install() is None:
        parts = parts_of(installation.config)
        components = {part: health.Component("missing") for part in parts}
    else:
        components = health.probe(
            installation.config, installation.engine_or_none, installation.manager
        )
    return {
        "healthy": all(one.running for one in components.values()),
        "url": public_url(installation.config),
        "name": installation.config.name,
        "components": {
            name: {"state": one.state, **one.detail} for name, one in components.items()
        },
    }


@click.command()
@click.argument("part", required=False, type=click.Choice(PARTS))
@click.option("-f", "--follow", is_flag=True, help="Go on printing what comes.")
@click.option("--tail", default="200", show_default=True, help="Lines per part, or all.")
def logs(part: str | None, follow: bool, tail: str) -> None:
    """Print the logs of one part, or of all."""
    installation = open_installation()
    if not installation.state.compose_env.exists():
        raise NotFoundError("nothing was started yet; run `juliabox up`")
    sys.exit(installation.compose.logs([part] if part else [], follow=follow, tail=tail))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check everything that JuliaBox stands on; say for each failure what to do."""
    findings = doctor_checks.examine(open_installation())
    healthy = all(finding.ok for finding in findings)
    if as_json:
        checks = [finding.document() for finding in findings]
        click.echo(json.dumps({"healthy": healthy, "checks": checks}, indent=2))
    else:
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'FAIL'} {finding.name}: {finding.message}")
            if not finding.ok:
                click.echo(f"     -> {finding.cure}")
    sys.exit(0 if healthy else 1)


COMMANDS: list[click.Command] = [up, down, destroy, status, logs, doctor]
