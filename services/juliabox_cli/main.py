"""Entry point of ``juliabox``: puts the commands together and shows errors readably."""

from __future__ import annotations

import sys
from typing import Any

import click

from juliabox_cli import (
    commands_apis,
    commands_config,
    commands_images,
    commands_plugins,
    commands_pools,
    commands_service,
    commands_sessions,
    commands_tasks,
    commands_users,
    commands_volumes,
)
from juliabox_ext.errors import JuliaBoxError


class _Readable(click.Group):
    """A group that shows an intended error as text with its code, and a fault as one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            sys.exit(141)
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            click.echo(_explain(error), err=True)
            ctx.exit(1)


def _explain(error: Exception) -> str:
    if isinstance(error, JuliaBoxError):
        return f"juliabox: {error.message} [{error.code}]"
    said = str(error).strip() or "no text"
    return f"juliabox: {type(error).__name__}: {said} [internal]. Repeat with --debug for details"


@click.group(cls=_Readable, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.version_option(package_name="juliabox", prog_name="juliabox")
def cli(debug: bool) -> None:
    """JuliaBox: Julia in the browser for a class, a lab or a company.

    The state folder is /var/lib/juliabox, or what JULIABOX_STATE names.
    """
    del debug  # read by _Readable


for module in (
    commands_service,
    commands_users,
    commands_sessions,
    commands_pools,
    commands_apis,
    commands_volumes,
    commands_tasks,
    commands_config,
    commands_images,
    commands_plugins,
):
    for command in module.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """Run the command line."""
    cli.main(prog_name="juliabox")


if __name__ == "__main__":
    main()
