"""Images of one installation: built by :mod:`juliabox_cli.image_build`, listed for the manager."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from juliabox_cli import docker_engine, image_build, plugin_image, plugin_sources
from juliabox_cli.compose import PARTS
from juliabox_cli.config import SESSION_IMAGE, Config
from juliabox_cli.docker_engine import Engine
from juliabox_cli.image_source import Sources
from juliabox_cli.installation import Installation
from juliabox_cli.plugin_choice import Choice
from juliabox_cli.source import source_folder

#: Images that containers are made of; the others are what these stand on.
USED = ("control", "julia", "julia-api")
#: Seconds without a byte from the engine during a build, before it is given up.
_BUILD_TIMEOUT = 1800


@dataclass(frozen=True)
class Images:
    """What the build gave: the control image's reference, and the allow-list of session images."""

    control: str
    sessions: dict[str, str]
    #: Id of the image of API containers; empty where there are none.
    api: str = ""
    #: Part -> its image where that is another: with plugins that it loads, or what it has.
    parts: dict[str, str] = field(default_factory=dict)
    #: Hash of what the proxy runs (:mod:`juliabox_cli.proxy_image`).
    proxy: str = ""

    def part(self, name: str) -> str:
        """Return the image of a part."""
        return self.parts.get(name, self.control)


def options(config: Config) -> image_build.BuildOptions:
    """Return the build's options: the environment's, overridden by what the file sets."""
    found = image_build.BuildOptions.from_environment()
    chosen: dict[str, object] = {}
    if "julia_source" in config.images.model_fields_set:
        chosen["julia_source"] = config.images.julia_source
    if config.images.registry:
        chosen["registry"] = config.images.registry
    if config.images.folder:
        chosen["folder"] = Path(config.images.folder)
    return replace(found, **chosen)  # type: ignore[arg-type]


def missing_images(config: Config, engine: Engine) -> list[str]:
    """Return the names of JuliaBox's images that this engine lacks."""
    tags = image_build.image_tags(source_folder(), options(config))
    return [name for name in USED if engine.image_id(tags[name]) is None]


def prune(config: Config, engine: Engine) -> list[str]:
    """Remove JuliaBox's images of other sources that no container uses; return their tags.

    Layers with plugins that no container uses go, too: they are built in seconds.
    """
    return image_build.prune_images(engine.client, source_folder(), options(config))


def add_plugins(
    images: Images,
    installation: Installation,
    choice: Choice,
    progress: Callable[[str, float], None],
) -> Images:
    """Make the control image with plugins for each part that loads some of other packages."""
    config, engine, state = installation.config, installation.engine, installation.state
    sources = [plugin_sources.parse(text) for text in config.plugins.install]
    recipe = Sources(source_folder())
    found = {}
    for part in PARTS:
        needed = plugin_image.needed_by(part, sources, choice)
        if needed:
            control_id = engine.image_id(images.control) or ""
            layer = plugin_image.layer(images.control, control_id, needed, state.plugins, recipe)
            builder = docker_engine.connect(engine.socket, timeout=_BUILD_TIMEOUT)
            plugin_image.build(builder, layer, options(config), progress)
            found[part] = layer.tag
    return replace(images, parts=found)


def ensure_images(
    config: Config,
    engine: Engine,
    progress: Callable[[str, float], None],
    *,
    refresh: bool = False,
) -> Images:
    """Make all images that the installation uses exist, and return how to name them."""
    chosen = options(config)
    tags = image_build.image_tags(source_folder(), chosen)
    found = {name: engine.image_id(tags[name]) for name in USED}
    if refresh or None in found.values():
        builder = docker_engine.connect(engine.socket, timeout=_BUILD_TIMEOUT)
        found = dict(
            image_build.ensure_images(
                source_folder(),
                options=chosen,
                progress=progress,
                engine=builder.client,
                refresh=refresh,
            )
        )
    sessions = {SESSION_IMAGE: str(found["julia"])}
    for profile in config.profiles:
        if profile.image and profile.image not in sessions:
            progress(profile.image, 1.0)
            sessions[profile.image] = engine.image_id(profile.image) or engine.pull(profile.image)
    return Images(
        control=tags["control"],
        sessions=dict(sorted(sessions.items())),
        api=str(found["julia-api"]),
    )
