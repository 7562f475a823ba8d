"""Plugin ``configuration``: a person's own defaults, a section of the portal's settings.

Which profile is chosen beforehand, what a session opens with, and whether stopping one asks first.
"""

from juliabox_plugins.configuration.defaults import Defaults, DefaultsPages
from juliabox_plugins.configuration.section import Configuration

__all__ = ["Configuration", "Defaults", "DefaultsPages"]
