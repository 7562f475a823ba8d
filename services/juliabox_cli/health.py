"""State of the parts, and waiting until they answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from juliabox_cli.compose import parts_of
from juliabox_cli.config import Config
from juliabox_cli.docker_engine import Engine
from juliabox_cli.hub_api import through_proxy
from juliabox_cli.manager_link import ManagerLink
from juliabox_ext.errors import JuliaBoxError, UnavailableError
from juliabox_manager.protocol import Ping, PoolInfo, PoolList
from juliabox_services.portal.settings import service_host


@dataclass
class Component:
    """What one part is seen to do."""

    #: running, starting, unhealthy, stopped or missing.
    state: str
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        """Whether the part does its work."""
        return self.state == "running"


def probe(config: Config, engine: Engine | None, manager: ManagerLink) -> dict[str, Component]:
    """Look at the engine and every part: first its container, then whether it answers."""
    if engine is None:
        parts = parts_of(config)
        silent = {part: Component("missing", {"reason": "no engine"}) for part in parts}
        return {"engine": Component("missing"), **silent}
    version = engine.version()
    components = {"engine": Component("running", {"version": version.get("Version", "")})}
    for part in parts_of(config):
        components[part] = container_state(engine.container(f"{config.name}-{part}"))
    _ask(components["manager"], lambda: _manager_trouble(manager))
    _tell_pools(components["manager"], manager)
    _ask(components["proxy"], lambda: _proxy_trouble(config))
    _ask(components["hub"], lambda: _hub_trouble(config))
    _ask(components["portal"], lambda: _service_trouble(config, PORTAL))
    if "api" in components:
        _ask(components["api"], lambda: _service_trouble(config, API))
    return components


def container_state(inspected: dict[str, Any] | None) -> Component:
    """Judge a part by its container alone."""
    if inspected is None:
        return Component("missing")
    seen = inspected["State"]
    detail = {
        "container": inspected["Id"],
        "image": inspected["Config"]["Image"],
        "started": seen.get("StartedAt", ""),
        "restarts": inspected.get("RestartCount", 0),
    }
    if seen.get("Restarting") or not seen.get("Running"):
        detail["exit_code"] = seen.get("ExitCode", 0)
        return Component("unhealthy" if seen.get("Restarting") else "stopped", detail)
    return Component("running", detail)


def _ask(component: Component, trouble: Callable[[], str | None]) -> None:
    """Lower the state of a part whose container runs, but that does not do its work."""
    if not component.running:
        return
    reason = trouble()
    if reason:
        component.state = "starting" if _young(component) else "unhealthy"
        component.detail["reason"] = reason


def _young(component: Component) -> bool:
    started = str(component.detail.get("started", ""))[:19]
    try:
        began = time.mktime(time.strptime(started, "%Y-%m-%dT%H:%M:%S")) - time.timezone
    except ValueError:
        return False
    return time.time() - began < 60


def _manager_trouble(manager: ManagerLink) -> str | None:
    try:
        pong = manager.call(Ping(), timeout=3.0)
    except JuliaBoxError as error:
        return error.message
    return None if pong.ready else "its first reconcile is not done"


def _tell_pools(component: Component, manager: ManagerLink) -> None:
    """Tell of pools that cannot be filled: sessions start all the same, only later."""
    if not component.running:
        return
    with contextlib.suppress(JuliaBoxError):
        pools: list[PoolInfo] = manager.call(PoolList(), timeout=3.0)
        short = [f"pool of {one.image}: {one.reason}" for one in pools if one.reason]
        if short:
            component.detail["reason"] = "; ".join(short)


def _proxy_trouble(config: Config) -> str | None:
    status = through_proxy(config, "hub/health", timeout=3.0)
    return None if status else f"nothing answers on {config.bind}:{config.port}"


def _hub_trouble(config: Config) -> str | None:
    status = through_proxy(config, timeout=3.0)
    return None if status == 200 else f"answers {status} through the proxy"


#: Services of the hub, and where each answers whether it is well.
PORTAL, API = "portal/health", "api/_/health"


def _service_trouble(config: Config, page: str) -> str | None:
    host = urlsplit(service_host(config.subdomain_host, page.partition("/")[0])).netloc
    status = through_proxy(config, f"services/{page}", timeout=3.0, host=host)
    return None if status == 200 else f"answers {status} through the proxy"


#: Exit codes of a part that another start does not help: a damaged database, a wrong setting.
_HOPELESS = {65, 78}
#: Restarts in a row, while somebody waits, after which a part is given up.
_RESTARTS = 5


def await_healthy(
    look: Callable[[], dict[str, Component]],
    seconds: float,
    progress: Callable[[str, float], None],
) -> None:
    """Wait until every part runs; raise ``UnavailableError`` that names what does not.

    A part that ends again and again is not waited for.
    """
    began = time.monotonic()
    restarts: dict[str, int] = {}
    while True:
        components = look()
        bad = {name: one for name, one in components.items() if not one.running}
        if not bad:
            return
        waited = time.monotonic() - began
        progress(", ".join(f"{name} {one.state}" for name, one in bad.items()), waited / seconds)
        for name, one in bad.items():
            first = restarts.setdefault(name, one.detail.get("restarts", 0))
            again = one.detail.get("restarts", 0) - first
            if one.detail.get("exit_code") in _HOPELESS or again >= _RESTARTS:
                raise _unhealthy({name: one}, waited)
        if waited > seconds:
            raise _unhealthy(bad, seconds)
        time.sleep(0.3)


def _unhealthy(bad: dict[str, Component], seconds: float) -> UnavailableError:
    said = "; ".join(
        f"{name} is {one.state}"
        + (f" ({one.detail['reason']})" if one.detail.get("reason") else "")
        for name, one in bad.items()
    )
    return UnavailableError(
        f"not healthy after {seconds:.0f} s: {said}. Look at `juliabox logs {next(iter(bad))}` "
        "and `juliabox doctor`",
        code="up.unhealthy",
    )
