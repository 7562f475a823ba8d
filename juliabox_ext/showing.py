"""Settings as they may be shown: whole, with secrets hidden."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

#: What stands where a secret would.
HIDDEN = "(hidden)"


def without_secrets(schema: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the operator wrote with every value hidden that the schema calls a secret.

    A key that the schema does not know is hidden, too: it may be a secret that is misspelt.
    """
    fields = {}
    for name, field in schema.model_fields.items():
        fields[name] = field.annotation
        for alias in (field.alias, field.validation_alias):
            if isinstance(alias, str):
                fields[alias] = field.annotation
    return {
        key: _shown(fields[key], value) if key in fields else hidden(value)
        for key, value in given.items()
    }


def hidden(value: Any) -> Any:
    """Return a value with its shape kept and every text and number in it hidden."""
    if isinstance(value, Mapping):
        return {key: hidden(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(one) for one in value]
    return value if value is None or value == "" else HIDDEN


def _shown(annotation: Any, value: Any) -> Any:
    kinds = list(_kinds(annotation))
    if any(issubclass(kind, SecretStr | SecretBytes) for kind in kinds):
        return hidden(value)
    models = [kind for kind in kinds if issubclass(kind, BaseModel)]
    return _inside(models, value) if models else value


def _inside(models: list[type[BaseModel]], value: Any) -> Any:
    """Show a section, or a list or a mapping of sections, whichever the schema has there."""
    if isinstance(value, list | tuple):
        return [_inside(models, one) for one in value]
    if not isinstance(value, Mapping):
        return hidden(value)
    for model in models:
        if value.keys() <= model.model_fields.keys():
            return without_secrets(model, value)
    return {key: _inside(models, one) for key, one in value.items()}


def _kinds(annotation: Any) -> typing.Iterator[type]:
    """Yield all classes that an annotation such as ``dict[str, SecretStr] | None`` names."""
    if isinstance(annotation, type) and not typing.get_args(annotation):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _kinds(argument)
