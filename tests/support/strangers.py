"""Distributions of strangers: real, installed ones in a folder of their own, thrown away after."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest


@dataclass(frozen=True)
class Site:
    """A folder with packages that this process and its children import from."""

    folder: Path

    def add(
        self,
        name: str,
        code: str,
        plugins: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        module: str = "",
    ) -> str:
        """Install a distribution with one module; ``plugins`` is group -> ``name = Class``.

        Return the module's name.
        """
        module = module or name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(dedent(code))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, entry in (plugins or {}).items():
            plugin, _, target = entry.partition(" = ")
            lines += [f"[{group}]", f"{plugin} = {module}:{target}"]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        importlib.invalidate_caches()
        return module


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Put a folder on this process's path and that of its children."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield Site(folder)
    for name in set(sys.modules) - before:
        # a thread that hung in an import may be done with it just now
        if str(folder) in str(getattr(sys.modules.get(name), "__file__", "")):
            sys.modules.pop(name, None)


#: A mail plugin that works and needs nothing.
MAIL = """
    from pydantic import SecretStr
    from juliabox_ext import JBPluginCloud, PluginSettings

    class Settings(PluginSettings):
        host: str = "localhost"
        password: SecretStr = SecretStr("")

    class Mail(JBPluginCloud):
        "Sends mails nowhere."
        provides = [JBPluginCloud.JBP_SENDMAIL]
        Settings = Settings
        def get_email_rates(self): return 1, 1.0
        def send_email(self, rcpt, sender, subject, body): pass
"""
MAIL_ENTRY = {"juliabox.cloud": "stranger = Mail"}
