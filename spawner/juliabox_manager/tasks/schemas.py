"""Data against the JSON Schema of a task. Slow to import: loaded by the first command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import jsonschema
from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError as PatternError

from juliabox_ext.errors import PluginError


class DataSchema:
    """The schema of what a command is called with."""

    def __init__(self, task: str, schema: Mapping[str, Any]) -> None:
        """Take a task's schema; raise ``PluginError`` if it is none."""
        try:
            _Linear.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise PluginError(
                f"the schema of task {task}'s data is none: {error.message}", code="plugin.contract"
            ) from None
        self._validator = _Linear(schema)

    def wrong(self, data: Mapping[str, Any]) -> list[str]:
        """Say what is wrong with data, by key and rule; values may be secret: none is repeated."""
        found = [text for error in self._validator.iter_errors(data) for text in _told(error)]
        return sorted(set(found))


def _told(error: Any) -> Iterable[str]:
    where = ".".join(map(str, error.absolute_path)) or "data"
    if error.validator == "additionalProperties":
        for key in set(error.instance) - set(error.schema.get("properties", {})):
            yield f"{where}: {str(key)[:60]!r} is unknown"
    elif error.validator == "required":
        for key in set(error.validator_value) - set(error.instance):
            yield f"{where}: {key!r} is missing"
    else:
        yield f"{where}: does not keep the rule {error.validator} {error.validator_value!s:.200}"


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterable[Any]:
    """Match with the engine of pydantic, which takes linear time whatever it is given.

    What that engine does not know is left to the plugin's own process.
    """
    if not isinstance(instance, str):
        return
    try:
        TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)]).validate_python(instance)
    except ValidationError:
        yield jsonschema.ValidationError("no match")
    except PatternError:
        return


_Linear: Any = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _pattern})
