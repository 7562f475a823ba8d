"""Load one task in its own process, with the providers of the features that it requires."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import PluginError
from juliabox_ext.plugin import Plugin, PluginContext
from juliabox_ext.registry import Registry
from juliabox_ext.task import (
    MAX_RESULT_BYTES,
    CommandTask,
    JBPluginTask,
    ManagerCalls,
    PeriodicTask,
)
from juliabox_manager.tasks.wire import Description, Order

GROUP = "juliabox.task"


def load(order: Order, name: str, manager: ManagerCalls) -> tuple[JBPluginTask, PluginInfo]:
    """Return a configured task and where it comes from; raise ``PluginError`` that says why not."""
    info = next((one for one in catalog.available([GROUP]) if one.name == name), None)
    if info is None:
        raise PluginError(f"no installed plugin {name} is a task", code="plugin.absent")
    loaded = catalog.load_class(info)
    # set on the class: `configure` may use it, and this process has one task alone
    loaded.manager = manager  # type: ignore[attr-defined]
    selection = msgspec.structs.replace(
        order.selection, enabled=[name, *_providers(order, loaded.requires)], required=[]
    )
    registry = Registry(
        selection,
        [*loaded.provides, *loaded.requires],
        PluginContext(
            name="",
            installation=order.installation,
            instance=order.instance,
            folder=Path(order.folder),
        ),
    )
    registry.load()
    found = [one for one in registry.all(loaded.provides[0]) if one.name == name]
    if not found:
        own = [fault for fault in registry.faults if fault.plugin == name]
        others = [fault.message for fault in registry.faults if fault.plugin != name]
        code = own[0].code if own else "plugin.absent"
        raise PluginError(". ".join([*(fault.message for fault in own), *others]), code=code)
    return found[0], info


def _providers(order: Order, features: Iterable[str]) -> list[str]:
    """Return the plugins that may provide features: those that the installation knows for it."""
    known = order.selection.features
    found = [name for feature in features for name in known.get(feature, order.selection.enabled)]
    return list(dict.fromkeys(found))


def describe(order: Order, name: str, manager: ManagerCalls) -> Description:
    """Load a task as for a run and describe it; raise ``PluginError`` for what cannot be."""
    plugin, info = load(order, name, manager)
    description = Description(
        name=name,
        features=list(plugin.provides),
        time_limit=_setting(plugin, "time_limit") or plugin.time_limit,
        memory_limit=plugin.memory_limit,
        **_periodic(plugin, info),
        **_command(plugin, info),
    )
    _check(description, info)
    plugin.close()
    return description


def _setting(plugin: Plugin, name: str) -> Any:
    return getattr(plugin.context.settings, name, None)


def _periodic(plugin: JBPluginTask, info: PluginInfo) -> dict[str, Any]:
    if not {JBPluginTask.JBP_NODE, JBPluginTask.JBP_CLUSTER} & set(plugin.provides):
        return {}
    schedule = getattr(plugin, "schedule", PeriodicTask.schedule)
    every = _setting(plugin, "every") or schedule.every
    if not (every >= 1 and schedule.delay >= 0):
        raise PluginError(
            f"{info}: its schedule must be 1 second or more, and its delay 0 or more",
            code="plugin.contract",
        )
    return {"every": every, "delay": schedule.delay}


def _command(plugin: JBPluginTask, info: PluginInfo) -> dict[str, Any]:
    if JBPluginTask.JBP_CMD_ASYNC not in plugin.provides:
        return {}
    data = getattr(plugin, "Data", CommandTask.Data)
    schema = data.model_json_schema()
    if len(msgspec.json.encode(schema)) > MAX_RESULT_BYTES:
        raise PluginError(f"{info}: the schema of its data is too large", code="plugin.contract")
    return {"clients": list(getattr(plugin, "clients", CommandTask.clients)), "data": schema}


def _check(description: Description, info: PluginInfo) -> None:
    """Refuse limits that no run could keep."""
    if description.time_limit <= 0 or description.memory_limit < 64 * 1024**2:
        raise PluginError(
            f"{info}: its time_limit must be above 0 and its memory_limit 64 MiB or more",
            code="plugin.contract",
        )
