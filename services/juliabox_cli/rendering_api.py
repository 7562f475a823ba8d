"""From ``config.yaml`` to what the API engine reads, and to what others are told of it."""

from __future__ import annotations

import msgspec

from juliabox_cli.addresses import Addresses
from juliabox_cli.config import API_IMAGE, Config
from juliabox_cli.plugin_choice import Choice
from juliabox_cli.ports import API_METRICS_PORT, API_PORT, HUB_PORT, MANAGER_PORT
from juliabox_cli.secret_files import public_key
from juliabox_cli.state import State
from juliabox_manager.protocol import Limits
from juliabox_manager.settings import ApiContainers
from juliabox_services.api.settings import SERVICE, ApiSettings, Bounds
from juliabox_services.portal.settings import service_host
from juliabox_spawner.settings import ApiAddress, ManagerAddress

#: Verbs that the API engine's key admits.
API_VERBS = ["api.*", "events", "stats", "ping"]


def api_settings(
    config: Config, state: State, addresses: Addresses, public_url: str, choice: Choice
) -> ApiSettings:
    """Return what the API engine is told."""
    return ApiSettings(
        installation=config.name,
        public_url=public_url,
        addresses=[addresses.api_edge, addresses.api_sessions],
        port=API_PORT,
        metrics_address=addresses.api_control,
        metrics_port=API_METRICS_PORT,
        folder=state.api,
        secrets=state.secrets / "api",
        hub_api=f"http://{addresses.hub_edge}:{HUB_PORT}{config.base_url}hub/api",
        manager=ManagerAddress(
            endpoint=f"tcp://{addresses.manager_control}:{MANAGER_PORT}",
            server_key=public_key(state.secrets / "manager" / "curve.key"),
            secret_key=state.secrets / "api" / "manager.key",
        ),
        base_url=config.base_url,
        https=config.https_on,
        hub_host=config.subdomain_host,
        api_host=service_host(config.subdomain_host, SERVICE),
        bounds=bounds(config),
        plugins=choice.selection("api", config.plugins.settings),
    )


def bounds(config: Config) -> Bounds:
    """Return the section ``apis`` as the engine reads it."""
    given = config.apis.model_dump()
    return msgspec.convert({name: given[name] for name in Bounds.__struct_fields__}, Bounds)


def api_containers(config: Config, addresses: Addresses, image: str) -> ApiContainers | None:
    """Return what the manager is told of API containers; None where there are to be none.

    ``image`` is the engine's id of their image.
    """
    apis = config.apis
    if not apis.enabled or not image:
        return None
    return ApiContainers(
        image=API_IMAGE,
        image_id=image,
        trusted=[addresses.api_sessions],
        internet=apis.internet,
        containers=apis.containers,
        containers_per_publisher=apis.containers_per_publisher,
        ceilings=Limits(memory=apis.most_memory, cpu=apis.cpu, pids=apis.pids, disk=0),
        pool=1 if config.pool.size else 0,
    )


def api_address(config: Config, addresses: Addresses) -> ApiAddress | None:
    """Return where the hub leads calls to, and sessions find the engine; None for none."""
    if not config.apis.enabled:
        return None
    return ApiAddress(
        url=f"http://{addresses.api_edge}:{API_PORT}",
        host=service_host(config.subdomain_host, SERVICE),
        sessions_url=engine_url(config, addresses.api_sessions),
    )


def engine_url(config: Config, address: str) -> str:
    """Return the folder of all APIs at one of the engine's addresses; empty without an engine."""
    if not config.apis.enabled:
        return ""
    return f"http://{address}:{API_PORT}{config.base_url}services/{SERVICE}/"


def reached_by_sessions(config: Config, addresses: Addresses) -> list[str]:
    """Return the services beside the hub that sessions may reach, each as address and port."""
    return [f"{addresses.api_sessions}:{API_PORT}"] if config.apis.enabled else []
