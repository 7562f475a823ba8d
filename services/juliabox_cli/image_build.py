"""Build, load or pull the images, each tagged by a hash of exactly what goes into it.

The images: ``base``, ``control``, ``julia`` for sessions and ``julia-api`` for API containers (see
``images/``). A tag names its content, so an image that exists is never built again, and an edit
rebuilds only what it concerns. The engine's own builder does the work (no BuildKit is needed);
control is built beside the two with Julia.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
from docker.errors import APIError, DockerException

from juliabox_cli import plugin_image
from juliabox_cli.image_builder import Builder, Progress
from juliabox_cli.image_options import BuildOptions
from juliabox_cli.image_source import IMAGES, Sources
from juliabox_ext.errors import ConfigurationError, UnavailableError

__all__ = ["BuildOptions", "ensure_images", "image_tags", "old_images", "prune_images"]

#: Oldest engine API that is known to work (Docker 20.10).
OLDEST_API = (1, 41)


def image_tags(source: Path | None = None, options: BuildOptions | None = None) -> dict[str, str]:
    """Return image name -> ``juliabox/<name>:<hash>``, without asking the engine.

    ``source`` is a checkout; by default the one this module is in, else the installed package.
    """
    options = options or BuildOptions.from_environment()
    options.check()
    tags = Sources(source).tags(options.julia_source)
    return {name: tags[name] for name in IMAGES}


def ensure_images(
    source: Path | None = None,
    *,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
    engine: docker.DockerClient | None = None,
    refresh: bool = False,
) -> dict[str, str]:
    """Make all images exist on the engine and return image name -> engine id (``sha256:…``).

    What is missing is loaded from the folder, else pulled from the registry, else built; where
    nothing is missing, nothing is done. ``refresh`` builds all anew, with today's packages.
    ``progress`` gets a step's name and the fraction done of the whole; from one thread at a time.
    Raises ``ConfigurationError`` or ``UnavailableError`` that says what to do.
    """
    options = options or BuildOptions.from_environment()
    options.check()
    client = engine or _connect()
    try:
        builder = Builder(
            engine=client,
            sources=Sources(source),
            options=options,
            progress=progress,
            refresh=refresh,
        )
        return builder.run()
    finally:
        if engine is None:
            client.close()


def old_images(engine: docker.DockerClient, keep: set[str]) -> Iterator[str]:
    """Yield tags of JuliaBox images that are not in ``keep`` and that no container uses."""
    used = {entry["ImageID"] for entry in engine.api.containers(all=True)}
    kinds = {tag.partition(":")[0] for tag in keep} | {plugin_image.REPOSITORY}
    for image in engine.images.list():
        for tag in image.tags:
            if tag.partition(":")[0] in kinds and tag not in keep and image.id not in used:
                yield tag


def prune_images(
    engine: docker.DockerClient,
    source: Path | None = None,
    options: BuildOptions | None = None,
) -> list[str]:
    """Remove JuliaBox images of other sources that nothing uses; return the removed tags.

    Only called when the operator asks for it: other installations on the same engine may want
    them when they start again, and would build them anew.
    """
    options = options or BuildOptions.from_environment()
    removed = []
    for tag in list(old_images(engine, set(Sources(source).tags(options.julia_source).values()))):
        try:
            engine.images.remove(tag)
            removed.append(tag)
        except APIError:
            continue  # taken into use meanwhile, or another image stands on it
    return removed


def _connect() -> docker.DockerClient:
    """Connect to the engine of the environment; it must be new enough."""
    try:
        client = docker.from_env(timeout=600)
        version = client.api.version()["ApiVersion"]
    except (DockerException, OSError) as error:
        raise UnavailableError(
            f"the Docker engine does not answer ({error}); start it, or join the docker group"
        ) from error
    if tuple(map(int, version.split("."))) < OLDEST_API:
        raise ConfigurationError(
            f"the Docker engine speaks API {version}; JuliaBox needs Docker 20.10 or newer "
            "(API 1.41)"
        )
    return client
