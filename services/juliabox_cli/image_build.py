"""Build, load or pull the images, each tagged by a hash of exactly what goes into it.

Three images: ``base``, ``control`` and ``julia`` (see ``images/``). A tag names its content, so
an image that exists is never built again, and an edit rebuilds only what it concerns. The engine's
own builder does the work (no BuildKit is needed); control and julia are built side by side.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from juliabox_cli.image_rootfs import ensure_rootfs, rootfs_mirror
from juliabox_cli.image_source import Context, Sources
from juliabox_ext.errors import ConfigurationError, UnavailableError

IMAGES = ("base", "control", "julia")
JULIA_SOURCES = ("auto", "official", "debian")
#: Oldest engine API that is known to work (Docker 20.10).
OLDEST_API = (1, 41)

Progress = Callable[[str, float], None]

#: Share of a cold build's time, for one bar over all of it.
WEIGHTS = {"rootfs": 0.22, "base": 0.1, "tools": 0.08, "control": 0.2, "julia": 0.4}
TITLES = {
    "rootfs": "Debian",
    "base": "base image",
    "tools": "build tools",
    "control": "control image",
    "julia": "session image",
}
#: Free bytes that a build is not started below.
ROOM = 4 * 1024**3
#: What a failed build's output tells, and what to do about it.
ADVICE = (
    (r"no space left", "the engine's disk is full; make room and start again."),
    (
        r"certificate verify failed|self.signed|unable to get local issuer",
        "a certificate was not trusted; where a proxy inspects TLS, set SSL_CERT_FILE to its CA "
        "bundle.",
    ),
    (
        r"could not resolve|temporary failure|name resolution|network is unreachable|"
        r"connection (timed out|refused)|failed to fetch|dns error|EAI_AGAIN|ETIMEDOUT",
        "the package servers cannot be reached; check the network, or set JULIABOX_APT_MIRROR, "
        "PIP_INDEX_URL and NPM_CONFIG_REGISTRY to mirrors, or load images (JULIABOX_IMAGES).",
    ),
)


def _host_ca_bundle() -> Path | None:
    """Return the CA bundle that the host's own tools are told to use, if any."""
    for name in ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        value = os.environ.get(name)
        if value and Path(value).is_file():
            return Path(value)
    return None


@dataclass(frozen=True)
class BuildOptions:
    """What the operator may choose; ``from_environment`` reads the ``JULIABOX_*`` variables.

    Mirrors, indexes and the CA bundle are used by build stages only and never reach an image.
    """

    #: ``auto``, ``official`` or ``debian``.
    julia_source: str = "auto"
    #: Image that is tried first for Debian; empty: make it with debootstrap at once.
    debian_image: str = "debian:bookworm-slim"
    #: Base URL of a Debian mirror, http or https; empty: Debian's default.
    apt_mirror: str = ""
    #: URLs of a Python index and an npm registry; empty: the tools' defaults.
    pip_index: str = ""
    npm_registry: str = ""
    #: PEM file that build stages trust; none: Debian's own.
    ca_bundle: Path | None = None
    #: Folder with ``*.tar`` made by ``docker save``, loaded before anything is built.
    folder: Path | None = None
    #: Registry prefix, such as ``registry.example.org/team``, pulled from before building.
    registry: str = ""
    #: Proxy variables, which the engine keeps out of an image's history.
    proxies: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_environment(cls) -> BuildOptions:
        """Read ``JULIA_SOURCE``, ``JULIABOX_*`` and the host's CA, index and proxy variables."""
        get = os.environ.get
        folder = get("JULIABOX_IMAGES")
        names = ("http_proxy", "https_proxy", "no_proxy")
        proxies = {n: v for n in (*names, *map(str.upper, names)) if (v := get(n))}
        return cls(
            julia_source=get("JULIA_SOURCE", "auto"),
            debian_image=get("JULIABOX_DEBIAN_IMAGE", "debian:bookworm-slim"),
            apt_mirror=get("JULIABOX_APT_MIRROR", ""),
            pip_index=get("PIP_INDEX_URL", ""),
            npm_registry=get("NPM_CONFIG_REGISTRY", ""),
            ca_bundle=_host_ca_bundle(),
            folder=Path(folder) if folder else None,
            registry=get("JULIABOX_REGISTRY", ""),
            proxies=proxies,
        )

    def check(self) -> None:
        """Raise ``ConfigurationError`` for a value that cannot be honoured."""
        if self.julia_source not in JULIA_SOURCES:
            raise ConfigurationError(
                f"JULIA_SOURCE is {self.julia_source!r}; it must be one of "
                f"{', '.join(JULIA_SOURCES)}"
            )
        if self.folder is not None and not self.folder.is_dir():
            raise ConfigurationError(f"JULIABOX_IMAGES: there is no folder {self.folder}")


def image_tags(source: Path | None = None, options: BuildOptions | None = None) -> dict[str, str]:
    """Return image name -> ``juliabox/<name>:<hash>``, without asking the engine.

    ``source`` is a checkout; by default the one this module is in, else the installed package.
    """
    options = options or BuildOptions.from_environment()
    options.check()
    digests = Sources(source).digests(options.julia_source)
    return {name: f"juliabox/{name}:{digests[name]}" for name in IMAGES}


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
    tags = image_tags(source, options)
    client = engine or _connect()
    try:
        builder = _Builder(client, Sources(source), options, tags, progress, refresh)
        return builder.run()
    finally:
        if engine is None:
            client.close()


def old_images(engine: docker.DockerClient, keep: dict[str, str]) -> Iterator[str]:
    """Yield tags of JuliaBox images that are not in ``keep`` and that no container uses."""
    used = {entry["ImageID"] for entry in engine.api.containers(all=True)}
    for image in engine.images.list():
        for tag in image.tags:
            owner, _, name = tag.rpartition(":")[0].partition("/")
            ours = owner == "juliabox" and name in IMAGES
            if ours and tag not in keep.values() and image.id not in used:
                yield tag


def prune_images(engine: docker.DockerClient, keep: dict[str, str]) -> list[str]:
    """Remove older JuliaBox images that nothing uses; return the removed tags.

    ``keep`` is what ``image_tags`` returns. Only called when the operator asks for it.
    """
    removed = []
    for tag in list(old_images(engine, keep)):
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


class _Builder:
    """One run of ``ensure_images``."""

    def __init__(
        self,
        engine: docker.DockerClient,
        sources: Sources,
        options: BuildOptions,
        tags: dict[str, str],
        progress: Progress | None,
        refresh: bool,
    ) -> None:
        self.engine, self.sources, self.options, self.tags = engine, sources, options, tags
        self.refresh = refresh
        self._progress = progress or (lambda step, fraction: None)
        self._lock = threading.Lock()
        self._done: dict[str, float] = {}
        self._shown = 0.0

    def run(self) -> dict[str, str]:
        missing = self._missing()
        if missing and not self.refresh:
            missing = self._load(missing)
            missing = self._pull(missing)
        if missing:
            self._build(missing)
        self._progress("images are there", 1.0)
        return {name: str(self.engine.images.get(self.tags[name]).id) for name in IMAGES}

    def _missing(self) -> list[str]:
        """Return the images to make; one that stands on another base than ours counts too."""
        if self.refresh:
            return list(IMAGES)
        base = self._id(self.tags["base"])
        missing = [] if base else ["base"]
        for name in IMAGES[1:]:
            try:
                image = self.engine.images.get(self.tags[name])
            except ImageNotFound:
                missing.append(name)
                continue
            if base and (image.labels or {}).get("juliabox.base", base) != base:
                missing.append(name)
        return missing

    def _id(self, tag: str) -> str | None:
        try:
            return str(self.engine.images.get(tag).id)
        except ImageNotFound:
            return None

    def _load(self, missing: list[str]) -> list[str]:
        """Load every tar file of the operator's folder."""
        if self.options.folder is None:
            return missing
        for path in sorted(self.options.folder.glob("*.tar*")):
            self._report("base", 0.0, f"loading {path.name}")
            try:
                with path.open("rb") as stream:
                    self.engine.images.load(stream)
            except (APIError, OSError) as error:
                raise ConfigurationError(f"cannot load images from {path}: {error}") from error
        return self._missing()

    def _pull(self, missing: list[str]) -> list[str]:
        """Pull from the operator's registry what it has."""
        if not self.options.registry:
            return missing
        for name in missing:
            repository, _, tag = self.tags[name].rpartition(":")
            self._report(name, 0.0, f"pulling the {TITLES[name]}")
            try:
                image = self.engine.images.pull(f"{self.options.registry}/{repository}", tag=tag)
                image.tag(repository, tag)
            except DockerException:
                continue  # not there: it is built
        return self._missing()

    def _build(self, missing: list[str]) -> None:
        self._check_disk()
        self._done = {step: 1.0 for step in WEIGHTS if step in IMAGES and step not in missing}
        rootfs = ensure_rootfs(
            self.engine,
            image=self.options.debian_image,
            mirror=self.options.apt_mirror,
            refresh=self.refresh,
            report=lambda fraction: self._report("rootfs", fraction),
        )
        self._done["rootfs"] = 1.0
        arguments = {"APT_MIRROR": rootfs_mirror(self.engine, self.options.apt_mirror)}
        base_context = self.sources.context("base")
        bundle = self.options.ca_bundle
        base_context.files["ca.crt"] = bundle.read_bytes() if bundle else b""
        tools = f"juliabox/tools:{self.tags['base'].rpartition(':')[2]}"
        arguments["ROOTFS"] = rootfs
        if "base" in missing:
            self._image("base", self.tags["base"], base_context, arguments, target="base")
        self._image("tools", tools, base_context, arguments, target="tools")
        base = self._id(self.tags["base"]) or ""
        arguments |= {"BASE": self.tags["base"], "TOOLS": tools}
        arguments["JULIA_SOURCE"] = self.options.julia_source
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(
                    self._image,
                    name,
                    self.tags[name],
                    self.sources.context(name),
                    arguments,
                    labels={"juliabox.base": base},
                )
                for name in ("julia", "control")
                if name in missing or "base" in missing
            ]
            for job in jobs:
                job.result()

    def _check_disk(self) -> None:
        """Refuse early when the engine's disk has no room, where that can be known."""
        folder = Path(str(self.engine.info().get("DockerRootDir", "")))
        if folder.is_dir():
            stat = os.statvfs(folder)
            free = stat.f_bavail * stat.f_frsize
            if free < ROOM:
                raise UnavailableError(
                    f"building the images needs {ROOM // 1024**3} GiB in {folder} and "
                    f"{free / 1024**3:.1f} GiB are free; make room (`docker system df` shows what "
                    "is used) and start again"
                )

    def _image(
        self,
        step: str,
        tag: str,
        context: Context,
        arguments: dict[str, str],
        *,
        target: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        """Build one image with the engine's own builder and follow its steps."""
        folder = "base" if step == "tools" else step
        self._report(step, 0.0)
        options = self.options
        wanted = {
            **arguments,
            "PIP_INDEX_URL": options.pip_index,
            "NPM_REGISTRY": options.npm_registry,
        }
        declared = set(
            re.findall(r"^ARG (\w+)", context.files[f"{folder}/Dockerfile"].decode(), re.M)
        )
        buildargs = {k: v for k, v in wanted.items() if k in declared and v} | options.proxies
        output: list[str] = []
        try:
            for line in self.engine.api.build(
                fileobj=context.tar(),
                custom_context=True,
                dockerfile=f"{folder}/Dockerfile",
                tag=tag,
                target=target or "",
                buildargs=buildargs,
                labels=labels or {},
                nocache=self.refresh and step != "tools",
                rm=True,
                forcerm=True,
                decode=True,
            ):
                self._line(step, line, output)
        except (APIError, OSError) as error:
            raise UnavailableError(f"the engine stopped building {tag}: {error}") from error
        self._report(step, 1.0)

    def _line(self, step: str, line: dict[str, str], output: list[str]) -> None:
        """Follow one line of the builder."""
        if "error" in line:
            raise self._failure(step, line["error"], output)
        text = line.get("stream", "").strip()
        if text:
            output.append(text)
        found = re.match(r"Step (\d+)/(\d+) :", text)
        if found:
            self._report(step, (int(found[1]) - 1) / int(found[2]))

    def _failure(self, step: str, message: str, output: list[str]) -> Exception:
        """Turn the builder's error into one that says what to do."""
        tail = "\n".join(output[-12:])
        for pattern, advice in ADVICE:
            if re.search(pattern, f"{message}\n{tail}", re.I):
                return UnavailableError(f"building the {TITLES[step]}: {advice}\n{tail}\n{message}")
        return UnavailableError(f"building the {TITLES[step]} failed:\n{tail}\n{message}")

    def _report(self, step: str, fraction: float, title: str | None = None) -> None:
        with self._lock:
            self._done[step] = max(fraction, self._done.get(step, 0.0))
            total = sum(WEIGHTS[name] * part for name, part in self._done.items())
            self._shown = max(self._shown, min(total / sum(WEIGHTS.values()), 0.99))
            self._progress(title or TITLES[step], self._shown)
