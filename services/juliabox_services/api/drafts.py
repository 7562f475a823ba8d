"""What is to be a version: read from a request, within bounds, and its source looked at."""

from __future__ import annotations

import time
from dataclasses import dataclass

import msgspec

from juliabox_ext.errors import ConflictError, NoRoomError, RequestError
from juliabox_services.api.engine_contract import Back, CallError, Checked
from juliabox_services.api.models import Api, Function, Options, SaveRequest, Version
from juliabox_services.api.options_rules import demand_options, demand_size, demand_source
from juliabox_services.api.people import differ
from juliabox_services.api.published import Published
from juliabox_services.api.settings import Bounds
from juliabox_services.api.tables import storable

#: Characters of one docstring that are kept.
DOC_LENGTH = 4000


class SourceError(CallError):
    """A source that cannot be published; ``code`` is the check's, such as ``source.syntax``."""

    def __init__(self, checked: Checked) -> None:
        super().__init__(
            checked.message,
            code=checked.code,
            status=400,
            frames=checked.frames,
        )
        self.output = checked.printed or None


@dataclass(frozen=True)
class Draft:
    """The content of a version."""

    source: str
    #: Of the functions, in the order in which they are shown.
    names: list[str]
    options: Options

    def loads_as(self, version: Version) -> bool:
        """Tell whether a version's source and functions are these."""
        return self.source == version.source and self.names == names_of(version)

    def same(self, version: Version) -> bool:
        """Tell whether a version has this content."""
        return self.loads_as(version) and self.options == version.options


def names_of(version: Version) -> list[str]:
    """Return the names of a version's functions."""
    return [one.name for one in version.functions]


class Drafts:
    """Makes versions of requests; writes nothing."""

    def __init__(self, published: Published, back: Back, bounds: Bounds) -> None:
        self._published = published
        self._back = back
        self._bounds = bounds

    def demand_newest(self, known: Api | None, after: int | None) -> None:
        """Raise ``ConflictError`` (``api.changed``) for who has not seen the newest version."""
        newest = known.newest if known else 0
        if after is not None and after != newest:
            raise ConflictError(
                f"There is version {newest} meanwhile, and you saw version {after} last"
                if newest
                else "This API was removed meanwhile",
                code="api.changed",
            )

    def demand_quota(self, publisher: str, account: str) -> None:
        """Raise ``NoRoomError`` (``api.quota``) for who has as many APIs as one may have."""
        most = self._bounds.apis_per_publisher
        # what somebody removed left under the name is nothing that its new owner could remove
        own = [
            one
            for one, _ in self._published.of(publisher)
            if one.stopped != "gone" and not differ(one.account, account)
        ]
        if len(own) >= most:
            raise NoRoomError(
                f"{publisher} has {most} APIs, which is what one may have here; remove one",
                code="api.quota",
            )

    def read(self, request: SaveRequest, active: Version | None) -> Draft:
        """Return what is to be saved; what is not given is as in the active version.

        Raise ``RequestError`` for all that is lacking or out of bounds.
        """
        known = names_of(active) if active else None
        source = active.source if request.source is None and active else request.source
        names = known if request.functions is None else list(dict.fromkeys(request.functions))
        if source is None or names is None:
            raise RequestError(
                "A new API needs a source and the names of its functions", code="api.body"
            )
        options = request.options or (active.options if active else Options())
        demand_source(source)
        demand_options(options, names, self._bounds)
        return Draft(source, names, options)

    async def checked(  # noqa: PLR0917 one for each thing that a version is made of
        self,
        publisher: str,
        api: str,
        draft: Draft,
        active: Version | None,
        who: str,
        note: str,
    ) -> Version:
        """Return the new version, numbered 0, after its source was loaded."""
        if active is not None and draft.loads_as(active):
            functions = active.functions
        else:
            functions = await self._load(publisher, api, draft.source, draft.names)
        version = Version(
            publisher=publisher,
            api=api,
            version=0,
            source=draft.source,
            functions=functions,
            options=draft.options,
            saved=time.time(),
            saved_by=who,
            note=storable(note),
        )
        demand_size(version)
        return version

    async def _load(
        self, publisher: str, api: str, source: str, names: list[str]
    ) -> list[Function]:
        checked = await self._back.check(publisher, api, source, names)
        if checked.code:
            raise SourceError(checked)
        return [
            msgspec.structs.replace(one, doc=storable(one.doc)[:DOC_LENGTH])
            for one in checked.functions
        ]
