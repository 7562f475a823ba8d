"""The proxy as the hub knows it, whose activity is news only now and then.

JupyterHub looks at the proxy's routes every few seconds, so that a proxy that was killed has them
back soon. With the routes comes when each session was last used, and for each JupyterHub asks its
database four times, in one go: with a hundred sessions the hub would answer nobody for a quarter of
a second, every time. What has hardly changed is left out here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from jupyterhub.proxy import ConfigurableHTTPProxy
from traitlets import Float


class Routes(ConfigurableHTTPProxy):  # type: ignore[misc]  # JupyterHub is untyped
    """Configurable-http-proxy, with the activity of a session at most every ``activity_step``."""

    activity_step = Float(
        30.0,
        config=True,
        help="""Seconds by which a session's last activity must change to be noted.

        Default 30, or a twentieth of the idle timeout if that is less. A session may seem idle for
        so much longer than it is.
        """,
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        #: Route -> its activity that JupyterHub was told last; None before the first look.
        self._told: dict[str, datetime] | None = None

    async def get_all_routes(self) -> dict[str, Any]:
        """Return the routes, without the activity of those where it is no news."""
        routes: dict[str, Any] = await super().get_all_routes()
        told, self._told = self._told, {}
        for spec, route in routes.items():
            activity = route["data"].get("last_activity")
            if not activity:
                continue
            then = datetime.fromisoformat(activity)
            # a route that is new was added by this hub, which has noted when; unless it has begun
            before = told.get(spec, then) if told is not None else None
            if before is not None and (then - before).total_seconds() < self.activity_step:
                del route["data"]["last_activity"]
                then = before
            self._told[spec] = then
        return routes
