"""What all plugins share: the base class, what a plugin is given, and how a feature names methods.

A plugin is a class behind an entry point of one of the groups ``juliabox.db``, ``.handler``,
``.ui``, ``.volume``, ``.cloud`` and ``.task``. The entry point's name is the plugin's name; one
name may stand in several groups; enabling it enables all of them, and settings are those of the
name: a class that declares none leaves them to the others.

One process makes at most one object of a plugin. Its life: ``__init__`` (cheap, no input or
output), :meth:`Plugin.configure` once, then the methods of its features, then
:meth:`Plugin.close`. Unless a contract says otherwise methods are plain functions that may block,
are called in threads, several at once, and may raise any
:class:`~juliabox_ext.errors.JuliaBoxError`. Whatever else escapes is reported as a fault of the
plugin, by its name and distribution, and reaches no person as a traceback.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

#: Entry-point groups, in the order in which they are listed.
GROUPS = (
    "juliabox.db",
    "juliabox.handler",
    "juliabox.ui",
    "juliabox.volume",
    "juliabox.cloud",
    "juliabox.task",
)


class PluginSettings(BaseModel):
    """Base of a plugin's own schema; an unknown key is an error.

    A field of type ``pydantic.SecretStr`` is never shown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True)
class PluginContext:
    """What a plugin's object is given."""

    #: The plugin's name: that of its entry point.
    name: str
    #: The operator's settings of this plugin, validated by its own schema.
    settings: PluginSettings = field(default_factory=PluginSettings)
    #: Name of the installation.
    installation: str = "juliabox"
    #: Identifier of this instance.
    instance: str = "juliabox"
    #: Folder of the process that loads the plugin; what it keeps there survives a restart.
    folder: Path = Path("/nonexistent")
    #: Address that people reach the service at.
    public_url: str = ""
    #: Find the one enabled plugin that provides a feature; raises ``PluginError`` if none does.
    feature: Callable[[str], Any] | None = None


class Plugin(ABC):  # noqa: B024  # each functionality, a subclass, has the abstract methods
    """Base of all mount points."""

    #: Features that the class provides: constants ``JBP_*`` of its mount point.
    provides: ClassVar[Sequence[str]] = ()
    #: Features of other plugins without which it cannot work; enabling it enables their
    #: built-in provider unless another one is enabled.
    requires: ClassVar[Sequence[str]] = ()
    #: Schema of the operator's settings of this plugin.
    Settings: ClassVar[type[PluginSettings]] = PluginSettings
    #: Feature -> the abstract class whose methods its provider has; set by each mount point.
    functionalities: ClassVar[Mapping[str, type[Plugin]]] = {}

    def __init__(self, context: PluginContext) -> None:
        self.context = context

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.context.name

    def configure(self) -> None:  # noqa: B027  # optional
        """Check the settings and prepare; called once, in a thread, before any other method.

        Override it to open what the plugin needs. An error that escapes disables the plugin in
        this process and is reported; what cannot be reached *now* is not such an error.
        """

    def close(self) -> None:  # noqa: B027  # optional
        """Give back what :meth:`configure` opened; called once when the process ends."""
