"""The portal's plugins: their pages, scripts, sections, static files, and what is wrong with them.

A plugin that fails leaves its place empty; the fault is kept for the admins' page.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import structlog
import tornado.web
from markupsafe import Markup

from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from juliabox_ext.cloud import JBPluginCloud
from juliabox_ext.errors import JuliaBoxError, PluginError
from juliabox_ext.handler import JBPluginHandler
from juliabox_ext.loads import LOADS
from juliabox_ext.plugin import Plugin, PluginContext
from juliabox_ext.registry import PluginFault, Registry, get_pluggedin_features
from juliabox_services.portal.models import Section
from juliabox_services.portal.models_admin import PluginView
from juliabox_services.portal.settings import PortalSettings

log = structlog.get_logger("juliabox.portal.plugins")

#: Seconds that a plugin's template may take, and faults that are kept.
PATIENCE = 2.0
KEPT = 100


class Plugins:
    """What the enabled plugins give to the portal."""

    def __init__(self, settings: PortalSettings) -> None:
        self.settings = settings
        context = PluginContext(
            name="portal",
            installation=settings.installation,
            instance=settings.installation,
            folder=settings.folder / "plugins",
            public_url=settings.public_url,
        )
        self.registry = Registry(settings.plugins, LOADS["portal"], context)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="plugins")
        #: Faults of this process since it started, besides those of loading: what -> fault.
        self._later: dict[str, tuple[float, PluginFault]] = {}
        self._scripts: list[str] | None = None
        #: What is installed; it cannot change while the process runs.
        self._installed: list[PluginInfo] = []
        self._environments: dict[Path, jinja2.Environment] = {}

    def load(self) -> None:
        """Import and configure them; blocks. Raise ``PluginError`` for a required one."""
        self.settings.folder.joinpath("plugins").mkdir(mode=0o700, exist_ok=True)
        self.registry.load()
        self._installed = catalog.available()

    def close(self) -> None:
        """Close them; blocks."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.registry.close()

    def register(self, app: tornado.web.Application) -> None:
        """Let each handler plugin add its pages; one that fails adds none, and is reported."""
        for plugin in self.registry.all(JBPluginHandler.JBP_HANDLER):
            try:
                plugin.register(app)
            except Exception as error:
                self.report(plugin, "register", error)

    @property
    def faults(self) -> list[PluginFault]:
        """All that is wrong, with loading and since."""
        return [*self.registry.faults, *(fault for _, fault in self._later.values())]

    @property
    def fault_times(self) -> list[tuple[float, PluginFault]]:
        """What failed since the portal started, with the time, newest first."""
        return sorted(self._later.values(), key=lambda one: -one[0])

    def report(self, plugin: Plugin, what: str, error: BaseException) -> None:
        """Keep a fault of a plugin."""
        info = self.registry.info(plugin)
        code = error.code if isinstance(error, JuliaBoxError) else "plugin.failed"
        said = error.message if isinstance(error, JuliaBoxError) else f"{type(error).__name__}"
        known = isinstance(error, JuliaBoxError)
        details = {"reason": said} if known else {"exc_info": error}
        log.error("a plugin failed", plugin=info.name, what=what, **details)
        message = f"{info}: {what}: {said}"
        fault = PluginFault(info.name, info.group, info.distribution, code, message)
        if len(self._later) < KEPT or f"{info.name} {what}" in self._later:
            self._later[f"{info.name} {what}"] = (time.time(), fault)

    async def call(self, plugin: Plugin, what: str, work: Callable[[], Any]) -> Any:
        """Return what a plugin's method answers, in a thread; None, and a fault, if it fails."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE):
                return await loop.run_in_executor(self._threads, work)
        except Exception as error:
            self.report(plugin, what, error)
            return None

    # -- what pages show ----------------------------------------------------------------------

    def features(self) -> dict[str, list[str]]:
        """Return the features of the whole installation."""
        return get_pluggedin_features()

    async def scripts(self) -> list[str]:
        """Return the addresses of the scripts that every page loads."""
        if self._scripts is None:
            self._scripts = await self._find_scripts()
        return self._scripts

    async def _find_scripts(self) -> list[str]:
        found = []
        for plugin in self.registry.all(JBPluginHandler.JBP_JS_TOP):
            path = await self.call(plugin, "script", plugin.script)
            if path is not None:
                address = self._script_address(plugin, Path(path))
                if address:
                    found.append(address)
        return found

    def _script_address(self, plugin: Plugin, path: Path) -> str:
        folder = static_folder(plugin)
        try:
            relative = path.resolve().relative_to(folder.resolve())
            digest = sha256(path.read_bytes()).hexdigest()[:12]
        except (OSError, ValueError):
            error = PluginError(
                f"its script {path} must be a file of the folder {folder}", code="plugin.static"
            )
            self.report(plugin, "script", error)
            return ""
        return f"{self._static_url(plugin, relative.as_posix())}?v={digest}"

    def _static_url(self, plugin: Plugin, path: str) -> str:
        return f"{self.settings.prefix}plugins/{quote(plugin.name)}/static/{quote(path)}"

    async def sections(self, feature: str, user: str, xsrf: Markup) -> list[Section]:
        """Return what each UI plugin renders for a place; one that fails gives an empty piece."""
        found = []
        for plugin in self.registry.all(feature):
            values = {
                "plugin": plugin.name,
                "user": user,
                "base_url": self.settings.base_url,
                "static_url": partial(self._static_url, plugin),
                "xsrf_form_html": xsrf,
            }
            html = await self.call(plugin, feature, partial(self._render, plugin, feature, values))
            found.append(Section(plugin=plugin.name, html=html or ""))
        return found

    def _render(self, plugin: Plugin, feature: str, values: dict[str, Any]) -> str:
        path = Path(plugin.get_template(feature))  # type: ignore[attr-defined]  # a widget
        environment = self._environments.setdefault(
            path.parent,
            jinja2.Environment(
                loader=jinja2.FileSystemLoader(path.parent),
                autoescape=True,
                undefined=jinja2.StrictUndefined,
            ),
        )
        return environment.get_template(path.name).render(values)

    # -- for admins ---------------------------------------------------------------------------

    def views(self) -> list[PluginView]:
        """Return every installed plugin and every enabled name that is not installed; blocks."""
        selection = self.settings.plugins
        faults: dict[tuple[str, str], PluginFault] = {}
        for fault in self.faults:
            key = fault.plugin, fault.group
            before = f"{faults[key].message}; " if key in faults else ""
            faults[key] = replace(fault, message=f"{before}{fault.message}")
        loaded = {self.registry.info(one): one for one in self._loaded()}
        features: dict[str, list[str]] = {}
        for feature, names in self.features().items():
            for name in names:
                features.setdefault(name, []).append(feature)
        views = []
        for info in self._installed:
            key = info.name, info.group
            found = faults.pop(key) if key in faults else None
            provided = list(loaded[info].provides) if info in loaded else None
            group = [
                one
                for one in features.get(info.name, [])
                if catalog.GROUP_OF[one.partition(".")[0]] == info.group
            ]
            views.append(
                PluginView(
                    name=info.name,
                    group=info.group,
                    distribution=info.distribution,
                    version=info.version,
                    features=sorted(provided or group),
                    # the portal is told of its own plugins alone, and of everybody's features
                    enabled=bool(group) or info in loaded or found is not None,
                    required=info.name in selection.required,
                    built_in=info.built_in,
                    fault=found.message if found else "",
                    fault_code=found.code if found else "",
                    fault_part="portal" if found else "",
                )
            )
        views += [_absent(fault, fault.plugin in selection.required) for fault in faults.values()]
        return sorted(views, key=lambda one: (one.group, one.name))

    def _loaded(self) -> list[Plugin]:
        found: dict[int, Plugin] = {}
        for mount_point in catalog.MOUNT_POINTS.values():
            for feature in mount_point.functionalities:
                found |= {id(one): one for one in self.registry.all(feature)}
        return list(found.values())

    def compute(self) -> Any:
        """Return the plugin that knows of machines; raise ``PluginError`` if there is none."""
        return self.registry.one(JBPluginCloud.JBP_COMPUTE)


def _absent(fault: PluginFault, required: bool) -> PluginView:
    return PluginView(
        name=fault.plugin,
        group=fault.group,
        distribution=fault.distribution,
        enabled=True,
        required=required,
        fault=fault.message,
        fault_code=fault.code,
        fault_part="portal",
    )


def static_folder(plugin: Plugin) -> Path:
    """Return the ``static`` folder beside a plugin's module."""
    return Path(inspect.getfile(type(plugin))).parent / "static"


def holds(folder: Path, path: str) -> bool:
    """Return whether a path is that of a file in a folder; nothing is told of what lies outside."""
    try:
        real = (folder / path).resolve()
        return real.is_relative_to(folder) and real.is_file()
    except (OSError, ValueError, RuntimeError):  # too long, with a NUL, or a circle of links
        return False


class PluginFiles(tornado.web.StaticFileHandler):
    """Files of a plugin's ``static`` folder: nothing above it, no link out of it, no folder."""

    def initialize(self, plugins: Plugins) -> None:  # type: ignore[override]  # our own arguments
        """Serve the folders of these plugins."""
        self.plugins = plugins
        self.default_filename = None

    def set_default_headers(self) -> None:
        """Let nothing that a plugin ships be read as something else, or run as a page of ours."""
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header(
            "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        )
        self.set_header("Referrer-Policy", "same-origin")
        self.set_header("X-Frame-Options", "DENY")

    async def get(self, name: str, path: str, include_body: bool = True) -> None:  # type: ignore[override]
        """Serve a file of the plugin ``name``."""
        found = [one for one in self.plugins._loaded() if one.name == name]
        for plugin in found:
            folder = static_folder(plugin).resolve()
            if holds(folder, path):
                self.root = str(folder)
                await super().get(path, include_body)
                return
        raise tornado.web.HTTPError(404)

    async def head(self, name: str, path: str) -> None:  # type: ignore[override]
        """Answer for a file without it."""
        await self.get(name, path, include_body=False)

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """Return the file's real path, links resolved, so that one that leads out is seen."""
        return str(Path(root, path).resolve())

    def set_extra_headers(self, path: str) -> None:
        """Keep what is asked for by its digest; ask again for everything else."""
        if "v" in self.request.arguments:
            self.set_header("Cache-Control", "public, max-age=31536000, immutable")
        else:
            self.set_header("Cache-Control", "no-cache")

    def write_error(self, status_code: int, **_: Any) -> None:
        """Answer with the status alone."""
        self.finish(f"{status_code}\n")

    def log_exception(self, kind: Any, value: Any, trace: Any) -> None:
        """Log nothing of what does not exist."""
        if not isinstance(value, tornado.web.HTTPError):
            super().log_exception(kind, value, trace)
