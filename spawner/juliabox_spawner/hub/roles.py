"""Services of the hub, and the scopes that each has and no more."""

from __future__ import annotations

import sys
from typing import Any

from jupyterhub import orm

from juliabox_spawner.hub.secret_files import read_secret
from juliabox_spawner.people_roles import CUSTOM_SCOPES, PEOPLE_ROLES
from juliabox_spawner.settings import HubSettings, PortalAddress

OPERATOR = "operator"
ROUTES = "routes"
CULLER = "idle-culler"
PORTAL = "portal"

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
]

#: JupyterHub's own role of people, and the portal.
USER_ROLE = {
    "name": "user",
    "description": "Standard user privileges",
    "scopes": ["self", f"access:services!service={PORTAL}"],
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
        roles += [_role(PORTAL, PORTAL_SCOPES), USER_ROLE]
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
    callback = f"{portal.host}{settings.base_url}services/{PORTAL}/oauth_callback"
    return {
        "name": PORTAL,
        "url": portal.url,
        "api_token": read_secret(settings.secrets / "portal_token"),
        "oauth_client_id": f"service-{PORTAL}",
        "oauth_redirect_uri": callback,
        "oauth_no_confirm": True,  # it is a part of JuliaBox, not somebody's service
        "oauth_client_allowed_scopes": PORTAL_CLIENT_SCOPES,
    }


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
