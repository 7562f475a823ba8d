"""One run of the engine's builder: what is missing is loaded, pulled or built."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound

from juliabox_cli.image_options import BuildOptions
from juliabox_cli.image_rootfs import ensure_rootfs, rootfs_mirror
from juliabox_cli.image_source import IMAGES, PARTS, Context, Sources
from juliabox_ext.errors import ConfigurationError, UnavailableError

Progress = Callable[[str, float], None]

#: Share of a cold build's time, for one bar over all of it.
WEIGHTS = {
    "rootfs": 0.16,
    "base": 0.08,
    "tools": 0.05,
    "control-parts": 0.16,
    "control": 0.02,
    "julia-parts": 0.32,
    "julia": 0.02,
    "julia-api-parts": 0.02,
    "julia-api": 0.17,
}
TITLES = {
    "rootfs": "Debian",
    "base": "base image",
    "tools": "build tools",
    "control-parts": "proxy and Python packages of the hub",
    "control": "control image",
    "julia-parts": "Julia and JupyterLab",
    "julia": "session image",
    "julia-api-parts": "Julia for API containers",
    "julia-api": "image of API containers",
}
#: Images that are built side by side; those of one line share steps, so one after the other.
SIDE_BY_SIDE = (("julia", "julia-api"), ("control",))
#: Steps that a renewal need not do again: what they are made of was just made anew.
REPEATED = ("tools", "julia-api-parts")
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
        progress: Progress | None,
        refresh: bool,
    ) -> None:
        self.engine, self.sources, self.options = engine, sources, options
        self.tags = sources.tags(options.julia_source)
        self.refresh = refresh
        self._progress = progress or (lambda step, fraction: None)
        self._lock = threading.Lock()
        self._done: dict[str, float] = {}
        self._shown = 0.0

    def run(self) -> dict[str, str]:
        """Make what is missing and return image name -> engine id."""
        missing = self._missing()
        if missing:
            with self._alone():
                missing = self._missing()  # another process may have made them meanwhile
                if missing and not self.refresh:
                    missing = self._pull(self._load(missing))
                if missing:
                    self._build(missing)
        self._progress("images are there", 1.0)
        return {name: str(self.engine.images.get(self.tags[name]).id) for name in IMAGES}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one process build on this engine at a time: two would do the same work twice."""
        name = hashlib.sha256(str(self.engine.info()["ID"]).encode()).hexdigest()[:12]
        path = Path(tempfile.gettempdir()) / f"juliabox-images-{os.getuid()}-{name}.lock"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._report("rootfs", 0.0, "waiting for another build of the images")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _missing(self) -> list[str]:
        """Return the images to make."""
        if self.refresh:
            return list(IMAGES)
        base = self._id(self.tags["base"])
        return [name for name in IMAGES if not self._fresh(name, base)]

    def _fresh(self, name: str, base: str | None) -> bool:
        """Tell whether an image is there and stands on our base, where that is there to compare."""
        try:
            image = self.engine.images.get(self.tags[name])
        except ImageNotFound:
            return False
        return not base or (image.labels or {}).get("juliabox.base", base) == base

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
        self._done = {
            step: 1.0 for step in WEIGHTS if step.removesuffix("-parts") in {*IMAGES} - {*missing}
        }
        rootfs = ensure_rootfs(
            self.engine,
            image=self.options.debian_image,
            mirror=self.options.apt_mirror,
            refresh=self.refresh,
            report=lambda fraction: self._report("rootfs", fraction),
        )
        self._done["rootfs"] = 1.0
        arguments = {
            "APT_MIRROR": rootfs_mirror(self.engine, self.options.apt_mirror),
            "BASE": self.tags["base"],
            "JULIA_SOURCE": self.options.julia_source,
            "NPM_REGISTRY": self.options.npm_registry,
            "PIP_INDEX_URL": self.options.pip_index,
            "ROOTFS": rootfs,
            "TOOLS": self.tags["tools"],
        }
        bundle = self.options.ca_bundle
        trusted = {"ca.crt": bundle.read_bytes() if bundle else b""}
        context = Context(self.sources.context("base").files | trusted)
        if "base" in missing:
            self._image("base", context, arguments, target="base")
        self._image("tools", context, arguments, target="tools")
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(self._one_by_one, names, missing, arguments) for names in SIDE_BY_SIDE
            ]
            for job in jobs:
                job.result()

    def _one_by_one(
        self, names: tuple[str, ...], missing: list[str], arguments: dict[str, str]
    ) -> None:
        for name in names:
            if name in missing or "base" in missing:
                self._parts_and_own(name, arguments)

    def _parts_and_own(self, name: str, arguments: dict[str, str]) -> None:
        """Build the lower part of an image where it is missing, and the image on it."""
        base = self._id(self.tags["base"])
        labels = {"juliabox.base": base or ""}
        parts = f"{name}-parts"
        if self.refresh or not self._fresh(parts, base):
            self._image(parts, self.sources.context(parts), arguments, labels=labels)
        self._report(parts, 1.0)
        arguments = arguments | {"PARTS": self.tags[parts]}
        self._image(name, self.sources.context(name), arguments, labels=labels)

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
        context: Context,
        arguments: dict[str, str],
        *,
        target: str | None = None,
        labels: dict[str, str] | None = None,
    ) -> None:
        """Build one image with the engine's own builder and follow its steps."""
        self._report(step, 0.0)
        folder = "base" if step == "tools" else step.removesuffix("-parts")
        file = "own.Dockerfile" if step in PARTS else "Dockerfile"
        declared = re.findall(r"^ARG (\w+)", context.files[f"{folder}/{file}"].decode(), re.M)
        used = {key: value for key, value in arguments.items() if key in declared and value}
        output: list[str] = []
        try:
            for line in self.engine.api.build(
                fileobj=context.tar(),
                custom_context=True,
                dockerfile=f"{folder}/{file}",
                tag=self.tags[step],
                target=target or "",
                buildargs=used | self.options.proxies,
                labels=labels or {},
                nocache=self.refresh and step not in REPEATED,
                rm=True,
                forcerm=True,
                decode=True,
            ):
                self._line(step, line, output)
        except (APIError, OSError) as error:
            raise UnavailableError(
                f"the engine stopped building {self.tags[step]}: {error}"
            ) from error
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
