"""Images that may have warm containers: their kind, and how many each should have now."""

from __future__ import annotations

from collections.abc import Callable

from juliabox_manager.pool.demand import Demand
from juliabox_manager.pool.size import Room, bounded, of_apis, wanted
from juliabox_manager.records import Kind
from juliabox_manager.settings import ManagerSettings


class Images:
    """The allowed images of one manager: those of sessions, and that of API containers."""

    def __init__(
        self, settings: ManagerSettings, demand: Demand, room: Callable[[Kind], Room]
    ) -> None:
        """Ask ``room`` for what sessions, or API containers, leave."""
        self._settings = settings
        self._demand = demand
        self._room = room
        #: Engine ids by name.
        self.ids = dict(settings.images)
        if settings.api is not None:
            self.ids[settings.api.image] = settings.api.image_id

    def kind(self, image: str) -> Kind:
        """Return what an image's containers become."""
        api = self._settings.api
        return "api" if api is not None and image == api.image else "session"

    def warm_memory(self, image: str) -> int:
        """Return the memory limit of an image's warm containers."""
        return self._settings.warm_memory(self.kind(image))

    def pooled(self, image: str) -> bool:
        """Return whether an image has a pool."""
        api, pool = self._settings.api, self._settings.pool
        if api is not None and image == api.image:
            return api.pool > 0
        return pool.sizes.get(image, pool.size) > 0

    def sizes(self) -> dict[str, tuple[int, str]]:
        """Return the size of each pool, and what bounds it, if anything."""
        api, pool = self._settings.api, self._settings.pool
        pooled = [image for image in self.ids if self.pooled(image)]
        most = {one: self._demand.most(one) for one in pooled if self.kind(one) == "session"}
        sizes, bound = bounded(pool, wanted(pool, most), self._room("session"))
        found = {image: (size, bound) for image, size in sizes.items()}
        if api is not None and api.image in pooled:
            found[api.image] = of_apis(api, self._room("api"))
        return found
