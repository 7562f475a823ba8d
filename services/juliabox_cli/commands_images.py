"""``juliabox image``: build the images without starting anything, and remove old ones."""

from __future__ import annotations

import click
from rich.console import Console

from juliabox_cli import engine_install, images
from juliabox_cli.config import API_IMAGE
from juliabox_cli.installation import open_installation
from juliabox_cli.steps import Steps


@click.group()
def image() -> None:
    """Build the images of the control parts, of sessions and of published APIs; remove old ones."""


@image.command()
@click.option("--refresh", is_flag=True, help="Build anew, with today's packages.")
def build(refresh: bool) -> None:
    """Build what is missing; print each image with its id on the engine."""
    installation = open_installation()
    steps = Steps(Console(stderr=True))
    with steps.step("Docker engine") as step:
        step.result = engine_install.ensure_engine(step.advance)
    with steps.step("Images") as step:
        found = images.ensure_images(
            installation.config, installation.engine, step.advance, refresh=refresh
        )
    click.echo(f"{found.control} {installation.engine.image_id(found.control)}")
    for name, identity in found.sessions.items():
        click.echo(f"{name} {identity}")
    click.echo(f"{API_IMAGE} {found.api}")


@image.command()
def prune() -> None:
    """Remove JuliaBox's images of earlier builds that no container uses; print their names.

    Another installation on this engine, made from another checkout, would build its own anew.
    """
    installation = open_installation()
    for tag in images.prune(installation.config, installation.engine):
        click.echo(tag)


COMMANDS: list[click.Command] = [image]
