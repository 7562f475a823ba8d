"""Each setting of each cloud plugin is told with its default."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from support.documentation import Page, code

PLUGINS = [info for info in catalog.available(["juliabox.cloud"]) if info.built_in]


def default_text(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    if field.annotation in (SecretStr, SecretStr | None):
        return "secret"
    return f"`{json.dumps(field.get_default(call_default_factory=True))}`"


@pytest.mark.parametrize("info", PLUGINS, ids=lambda info: info.name)
def test_exactly_the_settings_of_a_cloud_plugin_are_told(
    info: PluginInfo, reference: Callable[[str], Page]
) -> None:
    section = reference("cloud-plugins").section(info.name)
    told = {code(row["setting"])[0]: row["default"] for row in section.rows() if "setting" in row}
    fields = catalog.load_class(info).Settings.model_fields
    assert told == {name: default_text(field) for name, field in fields.items()}
    if not fields:
        assert "No settings." in section.text
