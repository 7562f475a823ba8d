"""What goes into each image: files of a checkout or of the installed package, and their hashes."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import importlib.resources
import io
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from juliabox_ext.errors import ConfigurationError

#: Folders and files of a checkout that the project's own wheel is made of.
PROJECT = (
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "setup.py",
    "images/__init__.py",
    "juliabox_ext",
    "jupyterhub_config",
    "plugins",
    "services",
    "spawner",
)
#: A fixed time for all files: in the past, and one that a zip file can hold.
TIME = 631152000
IMAGES = ("base", "control", "julia", "julia-api")
#: What the lower, slowly changing part of an image is made of (``images/<name>/Dockerfile``); all
#: other files go into the image itself (``images/<name>/own.Dockerfile``).
PARTS = {
    "control": {
        "Dockerfile",
        "package-lock.json",
        "package.json",
        "requirements.lock",
        "seccomp.py",
    },
    "julia": {"Dockerfile", "julia.sh", "lab.sh", "requirements.lock", "system.sh"},
    "julia-api": {"Dockerfile"},
}
#: Files of another image's folder: for the same layers, and what both images have.
SHARED = {
    "julia-api-parts": ("julia/julia.sh", "julia/system.sh"),
    "julia-api": ("julia/packages/JuliaBox/src/content.jl",),
}
DIST_INFO_SKIPPED = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


@dataclass
class Context:
    """A build context: file name -> content."""

    files: dict[str, bytes] = field(default_factory=dict)

    def digest(self, *more: str) -> str:
        """Return a short hash of all names and contents and of ``more``."""
        total = hashlib.sha256("\0".join(more).encode())
        for name in sorted(self.files):
            content = hashlib.sha256(self.files[name]).hexdigest()
            total.update(f"\n{name}\0{content}".encode())
        return total.hexdigest()[:16]

    def tar(self) -> io.BytesIO:
        """Return the context as a tar file that depends on nothing but names and contents."""
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as archive:
            for name in sorted(self.files):
                entry = tarfile.TarInfo(name)
                entry.size = len(self.files[name])
                entry.mode = 0o755 if name.endswith(".sh") else 0o644
                entry.mtime = TIME
                archive.addfile(entry, io.BytesIO(self.files[name]))
        stream.seek(0)
        return stream


def _tree(folder: Path, prefix: str) -> Iterator[tuple[str, bytes]]:
    """Yield all files below a folder that belong to its source, caches and byte code left out."""
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(p == "__pycache__" or p.startswith(".") or p.endswith(".egg-info") for p in parts):
            continue
        if path.is_file() and path.suffix not in (".pyc", ".in"):
            yield f"{prefix}/{'/'.join(parts)}", path.read_bytes()


def _checkout() -> Path | None:
    """Return the checkout that this module is in, or None when it is installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "images/base/Dockerfile").is_file() else None


class Sources:
    """The build contexts of all images, each read once: what is built is what the tag names."""

    def __init__(self, source: Path | None = None) -> None:
        self.root = source or _checkout()
        self._contexts: dict[str, Context] = {}
        if self.root is not None:
            self.images = self.root / "images"
        else:
            with importlib.resources.as_file(importlib.resources.files("juliabox_images")) as path:
                self.images = path
        if not (self.images / "base/Dockerfile").is_file():
            raise ConfigurationError(
                f"{self.images} holds no Dockerfiles; give a checkout of JuliaBox, or install it "
                "again"
            )

    def context(self, image: str) -> Context:
        """Return the build context of ``base``, ``<name>-parts`` or ``<name>``."""
        if image not in self._contexts:
            self._contexts[image] = self._read(image)
        return self._contexts[image]

    def _read(self, image: str) -> Context:
        name = image.removesuffix("-parts")
        files = dict(_tree(self.images / name, name))
        if name == "base":
            return Context(files | dict(_tree(self.images / "stages", "stages")))
        lower = {f"{name}/{file}" for file in PARTS[name]}
        shared = {path: (self.images / path).read_bytes() for path in SHARED.get(image, ())}
        if image.endswith("-parts"):
            return Context({path: files[path] for path in lower} | shared)
        own = {path: files[path] for path in files.keys() - lower} | shared
        return Context(own | (self._project() if name == "control" else {}))

    def tags(self, julia_source: str) -> dict[str, str]:
        """Return image -> ``juliabox/<image>:<hash>``, for the parts and the tools as well."""
        base = self.context("base").digest()
        digests = {"base": base, "tools": base}
        julia = (julia_source,)
        for name, more in (("control", ()), ("julia", julia), ("julia-api", julia)):
            parts = self.context(f"{name}-parts").digest(base, *more)
            digests |= {f"{name}-parts": parts, name: self.context(name).digest(parts)}
        return {image: f"juliabox/{image}:{digest}" for image, digest in digests.items()}

    def layer_recipe(self) -> dict[str, bytes]:
        """Return what a layer with plugins is built by, packages left out."""
        files = {"Dockerfile": (self.images / "plugins/Dockerfile").read_bytes()}
        scripts = (
            "plugins/absent.py",
            "plugins/plugins.sh",
            "stages/collect.sh",
            "stages/with-ca.sh",
        )
        for path in (self.images / script for script in scripts):
            files[f"build/{path.name}"] = path.read_bytes()
        return files

    def _project(self) -> dict[str, bytes]:
        """Return the project's source tree, or a wheel of the installed distribution."""
        if self.root is None:
            return _installed_wheel()
        files: dict[str, bytes] = {}
        for name in PROJECT:
            path = self.root / name
            if path.is_dir():
                files.update(_tree(path, f"project/{name}"))
            elif path.is_file():
                files[f"project/{name}"] = path.read_bytes()
        return files


def _installed_wheel() -> dict[str, bytes]:
    """Put the installed distribution back into a wheel, without the images' own sources."""
    distribution = importlib.metadata.distribution("juliabox")
    content: dict[str, bytes] = {}
    for entry in distribution.files or []:
        name = entry.as_posix()
        path = Path(str(distribution.locate_file(entry)))
        generated = ".dist-info/" in name and entry.name in DIST_INFO_SKIPPED
        images = name.startswith("juliabox_images/") and name != "juliabox_images/__init__.py"
        if ".." in entry.parts or "__pycache__" in entry.parts or generated or images:
            continue
        if path.is_file():
            content[name] = path.read_bytes()
    info = next(name.split("/")[0] for name in content if ".dist-info/" in name)
    lines = []
    for name, data in sorted(content.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    content[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,"]).encode() + b"\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as wheel:
        for name in sorted(content):
            wheel.writestr(zipfile.ZipInfo(name), content[name])
    return {f"project/{info.removesuffix('.dist-info')}-py3-none-any.whl": stream.getvalue()}
