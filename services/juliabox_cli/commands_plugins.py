"""``juliabox plugin``: which plugins there are, what they do, and how others come and go."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from juliabox_cli import plugin_install
from juliabox_cli.config import Config
from juliabox_cli.installation import open_installation
from juliabox_cli.plugin_choice import choose, enabled_names
from juliabox_cli.plugin_probe import Probed, probe
from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import NotFoundError
from juliabox_ext.loads import LOADS
from juliabox_ext.registry import matches


@click.group()
def plugin() -> None:
    """Show, check, install and remove plugins."""


@plugin.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> None:
    """Show which plugins are installed and whether they are enabled; imports none of them."""
    enabled = enabled_names(open_installation().config)
    rows = [_row(info, enabled) for info in catalog.available()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("plugin", "mount point", "package", "version", "state"):
        table.add_column(heading)
    for row in rows:
        state = "enabled" if row["enabled"] else "available"
        table.add_row(row["name"], row["group"], row["distribution"], row["version"], state)
    Console().print(table)


def _row(info: PluginInfo, enabled: list[str]) -> dict[str, Any]:
    return {
        "name": info.name,
        "group": info.group,
        "distribution": info.distribution,
        "version": info.version,
        "built_in": info.built_in,
        "enabled": info.name in enabled,
    }


@plugin.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(name: str, as_json: bool) -> None:
    """Show what plugin NAME provides and requires, its settings, and the parts that load it."""
    config = open_installation().config
    found = [_document(one, config) for one in probe(_named(name), config.plugins.settings)]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for document in found:
        click.echo("\n".join(_lines(document)))


def _named(name: str) -> list[PluginInfo]:
    """Return the installed plugins of a name, which may stand in several groups."""
    everywhere = catalog.available()
    found = [one for one in everywhere if one.name == name]
    if not found:
        known = ", ".join(sorted({one.name for one in everywhere})) or "none"
        raise NotFoundError(
            f"no plugin {name} is installed; installed are: {known}", code="plugin.not_installed"
        )
    return found


def _document(one: Probed, config: Config) -> dict[str, Any]:
    enabled = one.name in enabled_names(config)
    # one that is not used need not be configured
    unset = not enabled and one.fault is not None and one.fault.code == "plugin.settings"
    parts = [p for p, wanted in LOADS.items() if any(matches(f, wanted) for f in one.provides)]
    return {
        **_row(one.info, enabled_names(config)),
        "reference": one.info.reference,
        "summary": one.summary,
        "provides": list(one.provides),
        "requires": list(one.requires),
        "parts": parts,
        "schema": one.schema,
        "settings": one.shown,
        "fault": one.fault.message if one.fault and not unset else None,
    }


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    state = "enabled" if document["enabled"] else "available"
    package = f"{document['distribution']} {document['version']}"
    yield f"{document['name']} ({document['group']}, {package}): {state}"
    if document["summary"]:
        yield f"  {document['summary']}"
    yield f"  class:       {document['reference']}"
    for key in ("provides", "requires", "parts"):
        if document[key]:
            yield f"  {key + ':':<12} {', '.join(document[key])}"
    required = document["schema"].get("required", [])
    for key, field in document["schema"].get("properties", {}).items():
        yield f"  setting:     {key} ({_setting(field, key in required)})"
    for key, value in document["settings"].items():
        yield f"  is set:      {key}: {json.dumps(value)}"
    if document["fault"]:
        yield f"  FAULT:       {document['fault']}"


def _setting(field: Mapping[str, Any], required: bool) -> str:
    """Return type and default of a setting in words."""
    kinds = [one for one in (field, *field.get("anyOf", ())) if "type" in one or "enum" in one]
    names = []
    for one in kinds:
        secret = one.get("format") == "password"
        words = " or ".join(str(word) for word in one.get("enum", ()))
        names.append("secret" if secret else words or one["type"])
    kind = " or ".join(name for name in names if name != "null") or "see the plugin's documentation"
    default = "" if kind == "secret" else json.dumps(field.get("default"))
    return f"{kind}, required" if required else f"{kind}{', default ' if default else ''}{default}"


@plugin.command()
@click.argument("name", required=False)
def check(name: str | None) -> None:
    """Import and check plugin NAME, or all that are enabled; exit code 1 if one is at fault."""
    config = open_installation().config
    if name:
        answers = probe(_named(name), config.plugins.settings)
        faults = [one.fault for one in answers if one.fault is not None]
        working = [one for one in answers if one.fault is None]
    else:
        choice = choose(config)
        faults, working = list(choice.faults), list(choice.plugins)
    for one in working:
        click.echo(f"ok   {one.info}: {', '.join(one.provides)}")
    for fault in faults:
        click.echo(f"FAIL {fault.message} [{fault.code}]")
    sys.exit(1 if faults else 0)


@plugin.command()
@click.argument("requirement", nargs=-1, required=True)
def install(requirement: tuple[str, ...]) -> None:
    """Install the plugins of each REQUIREMENT, such as name==1.0 or a wheel file; enable them.

    Only the parts that load them are replaced; sessions run on. If anything fails, all is as it
    was.
    """
    done = plugin_install.install(Console(stderr=True), requirement)
    click.echo(f"{', '.join(done.plugins)}: installed and enabled")


@plugin.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove the package with plugin NAME; its settings stay in config.yaml."""
    gone = plugin_install.remove(Console(stderr=True), name)
    click.echo(f"{', '.join(gone) or name}: removed")


COMMANDS: list[click.Command] = [plugin]
