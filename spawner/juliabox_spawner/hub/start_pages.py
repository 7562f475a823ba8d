"""The page that starts a server: one that is ready at once is shown at once."""

from __future__ import annotations

from typing import Any

from jupyterhub.handlers import pages


class SpawnPage(pages.SpawnHandler):  # type: ignore[misc]  # JupyterHub is untyped
    """JupyterHub's page, without the way over the page of a pending start when none is pending."""

    _started: tuple[Any, Any] | None = None

    async def _wrap_spawn_single_user(
        self, user: Any, server_name: str, display_name: str, spawner: Any, *rest: Any, **more: Any
    ) -> None:
        """Start a server, and go to the page of its start or, after a moment, to itself."""
        self._started = user, spawner
        await super()._wrap_spawn_single_user(
            user, server_name, display_name, spawner, *rest, **more
        )

    def redirect(self, url: str, *args: Any, **kwargs: Any) -> None:
        """Go to a page; to the server in place of the page of its start if it is ready."""
        if self._started is not None and self._started[1].ready:
            user, spawner = self._started
            url = self.get_next_url(user, default=user.server_url(spawner.name))
        super().redirect(url, *args, **kwargs)


#: In place of JupyterHub's own.
HANDLERS: list[tuple[str, Any]] = [
    (path, SpawnPage) for path, handler in pages.default_handlers if handler is pages.SpawnHandler
]
PATHS = tuple(path for path, _ in HANDLERS)
