"""What is published now, in memory: each call looks here, and never in the database."""

from __future__ import annotations

from collections.abc import Iterator

from juliabox_ext.errors import NotFoundError, UnavailableError
from juliabox_services.api.models import Api, Version


class Published:
    """The APIs and their active versions. Changed by who has written the change."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], tuple[Api, Version]] = {}
        #: Whether the database was read. Before, nothing is known, so nothing is unknown.
        self.ready = False

    def find(self, publisher: str, api: str) -> tuple[Api, Version]:
        """Return an API and its active version; whether it is stopped is the caller's to look at.

        Raise ``NotFoundError`` (``api.unknown``), or ``UnavailableError`` (``api.database``) as
        long as the database was not read since the engine's start.
        """
        found = self._entries.get((publisher, api))
        if found is not None:
            return found
        self.demand_ready()
        raise NotFoundError(f"There is no API {publisher}/{api}", code="api.unknown")

    def demand_ready(self) -> None:
        """Raise ``UnavailableError`` (``api.database``) until the database was read."""
        if not self.ready:
            raise UnavailableError(
                "The API engine has not read its database yet; try again in a moment",
                code="api.database",
            )

    def known(self, publisher: str, api: str) -> tuple[Api, Version] | None:
        """Return what :meth:`find` returns, and None for an API that there is none of."""
        return self._entries.get((publisher, api))

    def put(self, api: Api, version: Version) -> None:
        """Take note of an API and of the version that answers its calls."""
        self._entries[api.publisher, api.api] = (api, version)

    def drop(self, publisher: str, api: str) -> None:
        """Forget an API."""
        self._entries.pop((publisher, api), None)

    def of(self, publisher: str) -> list[tuple[Api, Version]]:
        """Return one publisher's, in order of name."""
        return [entry for entry in self if entry[0].publisher == publisher]

    def __iter__(self) -> Iterator[tuple[Api, Version]]:
        """Yield all, in order of publisher and name."""
        for key in sorted(self._entries):
            yield self._entries[key]

    def __len__(self) -> int:
        return len(self._entries)
