"""One run of the engine's builder: what is missing is loaded, pulled or built."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from juliabox_cli.image_options import BuildOptions
from juliabox_cli.image_rootfs import ensure_rootfs, rootfs_mirror
from juliabox_cli.image_source import IMAGES, Context, Sources
from juliabox_ext.errors import ConfigurationError, UnavailableError

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


class Builder:
    """One run of ``ensure_images``."""

    def __init__(
        self,
        *,
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
        """Make what is missing and return image name -> engine id."""
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
