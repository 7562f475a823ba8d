"""The control image with plugins that are not built in: one layer on it, tagged by content."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from docker.errors import APIError

from juliabox_cli.docker_engine import Engine
from juliabox_cli.image_builder import ADVICE
from juliabox_cli.image_options import BuildOptions
from juliabox_cli.image_source import Context, Sources
from juliabox_cli.plugin_choice import Choice
from juliabox_cli.plugin_sources import Source, wheel_path
from juliabox_ext.catalog import available
from juliabox_ext.errors import UnavailableError
from juliabox_ext.loads import LOADS

#: Image name of all such layers.
REPOSITORY = "juliabox/plugins"


@dataclass(frozen=True)
class Layer:
    """What one or more parts need on the control image."""

    control: str
    #: The engine's id of the control image: one that was built anew has other packages.
    control_id: str
    requirements: tuple[str, ...]
    #: Wheel file name -> content.
    wheels: tuple[tuple[str, bytes], ...]
    recipe: tuple[tuple[str, bytes], ...]

    @property
    def tag(self) -> str:
        """The image's name: that of exactly this content."""
        files = {"requirements.txt": "\n".join(self.requirements).encode()}
        content = Context({**files, **dict(self.wheels), **dict(self.recipe)})
        return f"{REPOSITORY}:{content.digest(self.control_id)}"


def needed_by(part: str, sources: Sequence[Source], choice: Choice) -> tuple[Source, ...]:
    """Return the packages whose plugins a part loads; with any, also those that bring no plugin."""
    if part not in LOADS:
        return ()
    loaded = {_canonical(one.info.distribution) for one in choice.loaded_by(part)}
    plugins = {_canonical(info.distribution) for info in available()}
    if not any(source.distribution in loaded for source in sources):
        return ()
    return tuple(s for s in sources if s.distribution in loaded or s.distribution not in plugins)


def layer(
    control: str, control_id: str, sources: Sequence[Source], folder: Path, recipe: Sources
) -> Layer:
    """Return the layer with some packages; their wheel files lie in a folder, digests checked."""
    wheels = [wheel_path(folder, source) for source in sources if source.wheel is not None]
    return Layer(
        control,
        control_id,
        tuple(
            f"./{source.wheel.name}" if source.wheel is not None else source.text
            for source in sources
        ),
        tuple((path.name, path.read_bytes()) for path in wheels),
        tuple(sorted(recipe.layer_recipe().items())),
    )


def build(
    engine: Engine, one: Layer, options: BuildOptions, report: Callable[[str, float], None]
) -> None:
    """Build a layer unless it is there; raise ``UnavailableError`` that says what to do."""
    if engine.image_id(one.tag) is not None:
        return
    output: list[str] = []
    try:
        for line in engine.client.api.build(
            fileobj=_context(one, options).tar(),
            custom_context=True,
            dockerfile="Dockerfile",
            tag=one.tag,
            buildargs={"CONTROL": one.control, **_index(options), **options.proxies},
            rm=True,
            forcerm=True,
            decode=True,
        ):
            _follow(line, output, report)
    except (APIError, OSError) as error:
        raise UnavailableError(f"the engine stopped building {one.tag}: {error}") from error


def _index(options: BuildOptions) -> dict[str, str]:
    return {"PIP_INDEX_URL": options.pip_index} if options.pip_index else {}


def _context(one: Layer, options: BuildOptions) -> Context:
    bundle = options.ca_bundle
    files = dict(one.recipe)
    files["build/ca.crt"] = bundle.read_bytes() if bundle else b""
    files["build/packages/requirements.txt"] = ("\n".join(one.requirements) + "\n").encode()
    files |= {f"build/packages/{name}": content for name, content in one.wheels}
    return Context(files | {f"build/pip/{name}": content for name, content in _pip()})


def _pip() -> Sequence[tuple[str, bytes]]:
    """Return the files of this environment's pip."""
    found = importlib.metadata.distribution("pip")
    paths = [one for one in found.files or [] if one.parts[0] == "pip" and one.suffix != ".pyc"]
    return [(one.as_posix(), Path(str(found.locate_file(one))).read_bytes()) for one in paths]


def _follow(line: dict[str, str], output: list[str], report: Callable[[str, float], None]) -> None:
    text = line.get("stream", "").strip()
    if text:
        output.append(text)
    step = re.match(r"Step (\d+)/(\d+) :", text)
    if step:
        report("plugins", (int(step[1]) - 1) / int(step[2]))
    if "error" in line:
        tail = "\n".join(output[-12:])
        said = f"{tail}\n{line['error']}"
        advice = next((say for what, say in ADVICE if re.search(what, said, re.I)), "it failed.")
        raise UnavailableError(
            f"building the image with plugins: {advice}\n{said}", code="plugin.install"
        )


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
