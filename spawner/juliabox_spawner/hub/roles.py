"""Services of the hub, and the scopes that each has and no more."""

from __future__ import annotations

import sys
from typing import Any

from jupyterhub import orm

from juliabox_spawner.hub.secret_files import read_secret
from juliabox_spawner.people_roles import CUSTOM_SCOPES, PEOPLE_ROLES
from juliabox_spawner.settings import ApiAddress, HubSettings, PortalAddress

OPERATOR = "operator"
ROUTES = "routes"
CULLER = "idle-culler"
PORTAL = "portal"
API = "api"

#: The command line's: people, their servers, groups and tokens; not shutdown.
OPERATOR_SCOPES = [
    "admin:users",
    "admin:servers",
    "admin:groups",
    "tokens",
    "list:services",
    "read:services",
    "read:hub",
    "read:metrics",
    "read:roles",
]
#: The proxy's, to ask for its routes when it starts.
ROUTES_SCOPES = ["proxy"]
CULLER_SCOPES = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
#: What the portal does with its own token: nothing but be asked who somebody is.
PORTAL_SCOPES = ["read:services!service=portal"]
#: What the portal does for a person with the person's own token, as far as the person may.
PORTAL_CLIENT_SCOPES = [
    "access:services!service=portal",
    "access:servers!user",
    "read:users!user",
    "servers!user",
    "tokens!user",
    "admin-ui",
    "list:users",
    "read:users",
    "read:users:activity",
    "read:servers",
    "servers",
    "custom:juliabox:statistics",
    "custom:juliabox:containers",
    "access:services!service=api",
    "custom:juliabox:call",
    "custom:juliabox:publish",
]
#: What the API engine does with its own token: see whether a publisher is still there, and still
#: the same person, which the hub tells by when it made the account; no smaller scope has that. It
#: asks who a caller is with the caller's token.
API_SCOPES = ["read:services!service=api", "read:users"]
#: What everybody may do with the API engine: come to it, and call what is for all who log in.
API_USER_SCOPES = ["access:services!service=api", "custom:juliabox:call"]
#: What a session's own token may do beside telling of activity, if the session's owner may. The
#: programs of a session, and of whatever its owner runs there, have it: nothing of an admin's.
SERVER_SCOPES = [
    "users:activity!user",
    "access:servers!server",
    *API_USER_SCOPES,
    "custom:juliabox:publish",
]
#: JupyterHub's own role of the tokens of sessions, with what a notebook publishes with.
SERVER_ROLE = {
    "name": "server",
    "description": "Post activity, publish and call APIs",
    "scopes": SERVER_SCOPES,
}


def is_operator(caller: Any) -> bool:
    """Tell whether a request comes from the command line of the operator."""
    return isinstance(caller, orm.Service) and caller.name == OPERATOR


def configure_services(c: Any, settings: HubSettings) -> None:
    """Set services and roles; people keep JupyterHub's ``user`` role, sharing stays off."""
    services: list[dict[str, Any]] = [
        {"name": OPERATOR, "api_token": read_secret(settings.secrets / "operator_token")},
        {"name": ROUTES, "api_token": read_secret(settings.secrets / "routes_token")},
    ]
    roles = [
        _role(OPERATOR, OPERATOR_SCOPES),
        _role(ROUTES, ROUTES_SCOPES),
    ]
    if settings.idle_timeout or settings.max_age:
        services.append({"name": CULLER, "command": culler_command(settings)})
        roles.append(_role(CULLER, CULLER_SCOPES))
    if settings.portal is not None:
        services.append(_portal(settings, settings.portal))
        roles.append(_role(PORTAL, PORTAL_SCOPES))
    if settings.api is not None:
        services.append(_api(settings, settings.api))
        roles += [_role(API, API_SCOPES), SERVER_ROLE]
    if settings.portal is not None or settings.api is not None:
        roles.append(_user_role(settings))
    for service in services:
        service["display"] = False
    c.JupyterHub.services = services
    c.JupyterHub.custom_scopes = CUSTOM_SCOPES
    c.JupyterHub.load_groups = {name: {} for name in PEOPLE_ROLES}
    c.JupyterHub.load_roles = roles + [
        {"name": name, "description": text, "scopes": scopes, "groups": [name]}
        for name, (text, scopes) in PEOPLE_ROLES.items()
    ]
    c.JupyterHub.authenticate_prometheus = True


def _portal(settings: HubSettings, portal: PortalAddress) -> dict[str, Any]:
    return {
        **_at(settings, PORTAL, portal),
        "oauth_no_confirm": True,  # it is a part of JuliaBox, not somebody's service
        "oauth_client_allowed_scopes": PORTAL_CLIENT_SCOPES,
    }


def _api(settings: HubSettings, api: ApiAddress) -> dict[str, Any]:
    """Return the API engine: callers bring a token, nobody logs in to it by a browser."""
    return _at(settings, API, api)


def _at(settings: HubSettings, name: str, address: PortalAddress | ApiAddress) -> dict[str, Any]:
    """Return a service that the proxy leads to."""
    return {
        "name": name,
        "url": address.url,
        "api_token": read_secret(settings.secrets / f"{name}_token"),
        "oauth_client_id": f"service-{name}",
        "oauth_redirect_uri": f"{address.host}{settings.base_url}services/{name}/oauth_callback",
    }


def _user_role(settings: HubSettings) -> dict[str, Any]:
    """Return JupyterHub's own role of people, and the services that are for all of them."""
    scopes = ["self"]
    if settings.portal is not None:
        scopes.append(f"access:services!service={PORTAL}")
    if settings.api is not None:
        scopes += API_USER_SCOPES
    return {"name": "user", "description": "Standard user privileges", "scopes": scopes}


def culler_command(settings: HubSettings) -> list[str]:
    """Return the command of jupyterhub-idle-culler, whose token comes by environment."""
    forever = 10 * 365 * 86400
    timeout = settings.idle_timeout or forever
    bounds = [bound for bound in (settings.idle_timeout, settings.max_age) if bound]
    return [
        sys.executable,
        "-m",
        "juliabox_spawner.hub.culler",
        f"--timeout={timeout}",
        f"--max-age={settings.max_age}",
        f"--cull-every={max(2, min(60, *bounds, max(bounds) // 2))}",
        "--concurrency=10",
    ]


def _role(service: str, scopes: list[str]) -> dict[str, Any]:
    return {
        "name": f"juliabox-{service}",
        "description": f"What the {service} service may do",
        "scopes": scopes,
        "services": [service],
    }
