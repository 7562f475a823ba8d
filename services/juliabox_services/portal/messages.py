"""The message of the day: kept in the database, and in memory while that is away."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import structlog

from juliabox_ext.errors import JuliaBoxError, RequestError
from juliabox_services.portal.models_admin import Message
from juliabox_services.portal.records import Keeper

log = structlog.get_logger("juliabox.portal.messages")

#: Name of the value that keeps the message.
NAME = "message"
#: Longest message, in characters.
LONGEST = 2000
#: Latest end of a message, in Unix time: what every browser can show.
LATEST = 253_402_300_799
#: Seconds between two looks at the database, where another portal may have changed it.
LOOK = 30.0


class Messages:
    """The message of the day."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._message: Message | None = None
        self._looked = -LOOK

    async def current(self) -> Message | None:
        """Return the message, if there is one and its time is not over; never fail."""
        if time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            try:
                kept = await self._keeper.run(lambda records: records.value(NAME))
                self._message = msgspec.convert(kept, Message) if kept else None
            except (JuliaBoxError, msgspec.ValidationError) as error:
                log.warning("the message of the day is not known", reason=str(error))
        message = self._message
        over = message is not None and message.until is not None and message.until <= time.time()
        return None if over else message

    async def set(self, given: Message, author: str) -> Message | None:
        """Set the message, or take it away with an empty text; return what is shown now."""
        text = given.text.strip()
        if len(text) > LONGEST:
            raise RequestError(
                f"a message has at most {LONGEST} characters, this one {len(text)}",
                code="portal.message",
            )
        if given.until is not None and not 0 <= given.until <= LATEST:
            raise RequestError(
                "`until` is a Unix time, before the year 10000", code="portal.message"
            )
        message = None
        if text:
            message = msgspec.structs.replace(given, text=text, author=author, written=time.time())
        value: Any = msgspec.to_builtins(message)
        await self._keeper.run(lambda records: records.set_value(NAME, value))
        self._message, self._looked = message, time.monotonic()
        log.info("the message of the day was changed", author=author, text=text)
        return message
