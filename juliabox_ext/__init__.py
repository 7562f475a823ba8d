"""Public API of JuliaBox for plugin authors and for its own parts."""

from juliabox_ext.cloud import JBPluginCloud
from juliabox_ext.db import JBPluginDB
from juliabox_ext.errors import JuliaBoxError
from juliabox_ext.handler import JBPluginHandler
from juliabox_ext.plugin import Plugin, PluginContext, PluginSettings
from juliabox_ext.registry import get_pluggedin_features
from juliabox_ext.task import JBPluginTask
from juliabox_ext.ui import JBPluginUI
from juliabox_ext.volume import JBoxVol

__all__ = [
    "JBPluginCloud",
    "JBPluginDB",
    "JBPluginHandler",
    "JBPluginTask",
    "JBPluginUI",
    "JBoxVol",
    "JuliaBoxError",
    "Plugin",
    "PluginContext",
    "PluginSettings",
    "get_pluggedin_features",
]
