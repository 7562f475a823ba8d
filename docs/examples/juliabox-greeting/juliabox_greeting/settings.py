"""What the operator may set: ``plugins.settings.greeting`` in ``config.yaml``."""

from juliabox_ext import PluginSettings


class GreetingSettings(PluginSettings):
    """Settings of all classes of this plugin."""

    #: The word before the name.
    word: str = "Hello"
