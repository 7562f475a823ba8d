"""``juliabox config``: show, set, unset and validate the operator's file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import click
from ruamel.yaml import YAML

from juliabox_cli import config_file, plugin_secrets
from juliabox_cli.config import Config
from juliabox_cli.state import find_state, refuse_foreign, require_access
from juliabox_ext.errors import NotFoundError


def _file() -> Path:
    """Return the operator's file of a folder that may be looked into and is JuliaBox's."""
    state = find_state()
    require_access(state)
    refuse_foreign(state)
    return state.config


@click.group()
def config() -> None:
    """Show and edit config.yaml; comments in it survive."""


@config.command()
@click.argument("key", required=False)
def show(key: str | None) -> None:
    """Print the configuration in force, or one KEY of it, defaults included; no secrets."""
    loaded = config_file.load(_file())
    found: Any = plugin_secrets.shown(loaded, plugin_secrets.ask(loaded))
    for part in key.split(".") if key else []:
        try:
            found = found[int(part) if isinstance(found, list) else part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise NotFoundError(f"there is no key {key}", code="configuration.key") from None
    if isinstance(found, dict | list):
        stream = io.StringIO()
        YAML().dump(found, stream)
        click.echo(stream.getvalue(), nl=False)
    else:
        click.echo(str(found).lower() if isinstance(found, bool) else found)


@config.command("set")
@click.argument("key")
@click.argument("value")
@click.argument("more", metavar="[KEY VALUE]...", nargs=-1)
def set_(key: str, value: str, more: tuple[str, ...]) -> None:
    """Set KEY (such as sessions.memory) to VALUE; in force with the next `juliabox up`.

    Keys that only hold together, such as those of https, are set at once.
    """
    if len(more) % 2:
        raise click.UsageError(f"{more[-1]} has no value; give pairs of KEY and VALUE")
    path = _file()
    config_file.ensure(path)
    values = {key: value, **dict(zip(more[::2], more[1::2], strict=True))}
    config_file.set_values(path, values)
    verb, it = ("is", "it") if len(values) == 1 else ("are", "them")
    click.echo(f"{', '.join(values)} {verb} set; `juliabox up` puts {it} in force")


@config.command()
@click.argument("key")
def unset(key: str) -> None:
    """Remove KEY from the file, so that its default holds."""
    path = _file()
    config_file.ensure(path)
    config_file.unset_value(path, key)
    click.echo(f"{key} has its default again; `juliabox up` puts it in force")


@config.command()
def validate() -> None:
    """Check config.yaml; name line, key and allowed values of each mistake."""
    path = _file()
    found: Config = config_file.load(path)
    where = path if path.exists() else "the defaults (there is no file yet)"
    click.echo(f"{where}: valid, for the installation {found.name}")


COMMANDS: list[click.Command] = [config]
