"""``juliabox config``: show, set, unset and validate the operator's file."""

from __future__ import annotations

import io
from typing import Any

import click
from ruamel.yaml import YAML

from juliabox_cli import config_file
from juliabox_cli.config import Config
from juliabox_cli.state import find_state
from juliabox_ext.errors import NotFoundError


@click.group()
def config() -> None:
    """Show and edit config.yaml; comments in it survive."""


@config.command()
@click.argument("key", required=False)
def show(key: str | None) -> None:
    """Print the configuration in force, or one KEY of it, defaults included."""
    found: Any = config_file.load(find_state().config).model_dump()
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
def set_(key: str, value: str) -> None:
    """Set KEY (such as sessions.memory) to VALUE; in force with the next `juliabox up`."""
    state = find_state()
    state.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    config_file.ensure(state.config)
    config_file.set_value(state.config, key, value)
    click.echo(f"{key} is set; `juliabox up` puts it in force")


@config.command()
@click.argument("key")
def unset(key: str) -> None:
    """Remove KEY from the file, so that its default holds."""
    state = find_state()
    config_file.ensure(state.config)
    config_file.unset_value(state.config, key)
    click.echo(f"{key} has its default again; `juliabox up` puts it in force")


@config.command()
def validate() -> None:
    """Check config.yaml; name line, key and allowed values of each mistake."""
    path = find_state().config
    found: Config = config_file.load(path)
    where = path if path.exists() else "the defaults (there is no file yet)"
    click.echo(f"{where}: valid, for the installation {found.name}")


COMMANDS: list[click.Command] = [config]
