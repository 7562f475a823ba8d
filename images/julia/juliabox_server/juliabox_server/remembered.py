"""Results of pure functions that a rehearsal leaves to the start: parsed, checked, compiled.

A server that was rehearsed is the same as one that was not; it is only up sooner.
"""

import copy
import functools
import json
import re
from types import SimpleNamespace
from typing import Any

import jupyter_events.schema
import jupyter_events.yaml
import tornado.routing
from traitlets.config.application import Application
from traitlets.config.loader import Config


class Routes:
    """Compiles the patterns of routes, of which each server has its own prefix in front."""

    def __init__(self) -> None:
        self.prefix = ""
        self._compile = functools.cache(re.compile)

    def compile(self, pattern: str | re.Pattern[str], flags: int = 0) -> Any:
        """Compile as :func:`re.compile`; what stands below the prefix is compiled once."""
        if self.prefix and isinstance(pattern, str) and pattern.startswith(f"{self.prefix}/"):
            return Below(self.prefix, self._compile(pattern[len(self.prefix) :], flags))
        return self._compile(pattern, flags)


class Below:
    """A pattern that begins with a literal prefix, as far as a route uses patterns."""

    def __init__(self, prefix: str, rest: re.Pattern[str]) -> None:
        self._prefix, self._rest = prefix, rest
        self.groups, self.groupindex = rest.groups, rest.groupindex
        self.pattern = prefix + rest.pattern

    def match(self, path: str) -> re.Match[str] | None:
        """Match a path from its beginning."""
        return self._rest.match(path, len(self._prefix)) if path.startswith(self._prefix) else None


class NoArguments:
    """What the loader of a command line finds in an empty one."""

    def __init__(self) -> None:
        self.extra_args: list[str] = []

    def load_config(self) -> Config:
        """Return an empty configuration."""
        return Config()


routes = Routes()
_create_loader = Application._create_loader
_loads = functools.cache(jupyter_events.yaml.loads)
_validate = jupyter_events.schema.validate_schema
_valid: set[str] = set()


def loads(text: Any) -> Any:
    """Parse YAML."""
    return copy.deepcopy(_loads(text))


def validate_schema(schema: dict[str, Any]) -> None:
    """Check an event's schema; it costs as much as all configuration files."""
    text = json.dumps(schema, default=str)
    if text not in _valid:
        _validate(schema)
        # the check corrects numbers of versions
        if text == json.dumps(schema, default=str):
            _valid.add(text)


def create_loader(app: Any, argv: list[str] | None, *args: Any, **more: Any) -> Any:
    """Make the loader of a command line; for an empty one no parser is needed."""
    return _create_loader(app, argv, *args, **more) if argv else NoArguments()


def install(prefix: str) -> None:
    """Let the libraries use what is remembered, for a server at a prefix."""
    routes.prefix = prefix.rstrip("/")
    tornado.routing.re = SimpleNamespace(compile=routes.compile)
    jupyter_events.yaml.loads = loads
    jupyter_events.schema.validate_schema = validate_schema
    Application._create_loader = create_loader
