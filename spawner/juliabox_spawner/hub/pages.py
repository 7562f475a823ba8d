"""Look of the hub's pages, and the headers that they carry."""

from __future__ import annotations

from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.handlers.static import CacheControlStaticFilesHandler

from juliabox_spawner.hub.compressed import CompressedFiles
from juliabox_spawner.settings import HubSettings

#: Folder of our own templates and static files; an installed data package.
FOLDER = Path(str(files("juliabox_config")))

#: Prefix under JupyterHub's ``static/`` where our own files appear.
STATIC_PREFIX = "juliabox/"


class StaticFiles(CacheControlStaticFilesHandler, CompressedFiles):  # type: ignore[misc]  # JupyterHub is untyped
    """JupyterHub's static files, and JuliaBox's below ``juliabox/``."""

    own_root = str(FOLDER / "static")

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        """Return the file's path under the root that its prefix names."""
        if path.startswith(STATIC_PREFIX):
            root, path = cls.own_root, path.removeprefix(STATIC_PREFIX)
        absolute: str = super().get_absolute_path(root, path)
        return absolute

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Refuse what lies outside the root of its prefix."""
        if self.path_args and str(self.path_args[0]).startswith(STATIC_PREFIX):
            root = self.own_root
        checked: str | None = super().validate_absolute_path(root, absolute_path)
        return checked


def configure_pages(c: Any, settings: HubSettings) -> None:
    """Set templates, logo, announcement and security headers."""
    c.JupyterHub.template_paths = [str(FOLDER / "templates")]
    c.JupyterHub.logo_file = str(FOLDER / "static" / "logo.svg")
    c.JupyterHub.template_vars = {
        "announcement": escape(settings.announcement),
        "juliabox_native": "native" in settings.login.logins,
        "juliabox_signup": "native" in settings.login.logins and settings.login.signup != "closed",
        "juliabox_portal": portal_address(settings),
        "juliabox_profiles": {p.slug: p.display_name for p in settings.profiles},
    }
    c.JupyterHub.tornado_settings = {
        "headers": security_headers(settings),
        "static_handler_class": StaticFiles,
    }
    if urlsplit(settings.public_url).scheme == "https":
        # behind another proxy that ends HTTPS, the request itself does not say so
        c.JupyterHub.tornado_settings["cookie_options"] = {"secure": True}


def portal_address(settings: HubSettings) -> str:
    """Return where people find the portal; empty without one."""
    if settings.portal is None:
        return ""
    return f"{settings.portal.host}{settings.base_url}services/portal/"


def security_headers(settings: HubSettings) -> dict[str, str]:
    """Return the headers of every page of the hub."""
    people = ""
    if settings.subdomain_host:
        parts = urlsplit(settings.subdomain_host)
        # a log-in ends with a redirect to the person's own subdomain
        people = f" {parts.scheme}://*.{parts.netloc}"
    policy = [
        "default-src 'self'",
        # JupyterHub's own pages have scripts and styles within them
        "script-src 'self' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        f"connect-src 'self'{people}",
        f"form-action 'self'{people}",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "object-src 'none'",
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    }
