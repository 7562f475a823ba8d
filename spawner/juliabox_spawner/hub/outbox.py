"""Mail to people, kept in a folder until the mail service has taken it."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from email.errors import MessageError
from email.headerregistry import Address
from pathlib import Path

import msgspec
from msgspec import Struct

from juliabox_ext.errors import JuliaBoxError, PluginError
from juliabox_spawner.hub.json_files import replace_json

#: Sends one mail: recipient, sender (empty: the plugin's), subject, text. It may block.
Send = Callable[[str, str, str, str], None]

#: Seconds before the first repetition; each next one waits twice as long, up to the longest.
FIRST_WAIT = 30.0
LONGEST_WAIT = 3600.0
#: Seconds after which a mail that nobody took is given up.
LIFETIME = 3 * 86400.0
#: Seconds between two looks at the folder.
INTERVAL = 5.0

log = logging.getLogger("juliabox.outbox")


class _Mail(Struct):
    """One mail, and when it is tried next."""

    to: str
    subject: str
    text: str
    made: float
    tries: int = 0
    due: float = 0.0


def address_problem(address: str) -> str:
    """Return what is wrong with an e-mail address, for the person, or an empty text."""
    try:
        parsed = Address(addr_spec=address)
    except (ValueError, IndexError, MessageError):
        return "This is no e-mail address."
    if not parsed.username or "." not in parsed.domain or len(address) > 254:
        return "This is no e-mail address."
    return ""


class Outbox:
    """A folder of mails; each is sent once, and none is lost while the service is away."""

    def __init__(self, folder: Path, send: Send, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._send = send
        self._clock = clock
        self._made = 0
        folder.mkdir(mode=0o700, exist_ok=True)

    def put(self, to: str, subject: str, text: str) -> None:
        """Keep a mail; it is sent by :meth:`run`."""
        now = self._clock()
        self._made += 1
        name = f"{int(now * 1000):015d}-{self._made:09d}-{secrets.token_hex(4)}.json"
        replace_json(self._folder / name, _Mail(to, subject, text, made=now))

    async def run(self) -> None:
        """Send what is due, for ever."""
        while True:
            try:
                await asyncio.to_thread(self.send_due)
            except OSError:
                log.exception("the folder of mails cannot be used")
            await asyncio.sleep(INTERVAL)

    def send_due(self) -> None:
        """Send the mails that are due, the oldest first; stop where the service is away."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                mail = msgspec.json.decode(path.read_bytes(), type=_Mail)
            except msgspec.DecodeError:
                self._give_up(path, "it cannot be read")
                continue
            if mail.due <= self._clock() and not self._try(path, mail):
                return

    def _try(self, path: Path, mail: _Mail) -> bool:
        """Send one mail; return False if the service takes none now."""
        try:
            self._send(mail.to, "", mail.subject, mail.text)
        except JuliaBoxError as error:
            # a plugin that is at fault is mended by the operator: the mail waits for that
            later = error.retryable or isinstance(error, PluginError)
            return self._failed(path, mail, error.message, later)
        except Exception as error:
            log.exception("the mail plugin failed")
            return self._failed(path, mail, f"{type(error).__name__}: {error}", True)
        path.unlink()
        return True

    def _failed(self, path: Path, mail: _Mail, reason: str, retryable: bool) -> bool:
        if not retryable or self._clock() - mail.made > LIFETIME:
            self._give_up(path, reason)
            return True
        mail.due = self._clock() + min(LONGEST_WAIT, FIRST_WAIT * 2**mail.tries)
        mail.tries += 1
        replace_json(path, mail)
        log.warning("a mail waits: %s", reason)
        return False

    def _give_up(self, path: Path, reason: str) -> None:
        """Keep a mail that is never sent beside the others, for the operator to look at."""
        log.error("a mail is given up, and kept as %s.refused: %s", path, reason)
        path.replace(path.with_suffix(".json.refused"))
