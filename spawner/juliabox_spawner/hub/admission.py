"""What is asked after a log-in: is this still the same person, and do the rules let them in."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog

from juliabox_ext.errors import PolicyError, UnavailableError
from juliabox_spawner.hub.logins import Logins
from juliabox_spawner.usernames import shown

log = structlog.get_logger("juliabox.logins")

#: Seconds that one rule may take.
RULE_PATIENCE = 10.0

#: Questions of one rule under way, beyond which nobody is let in: it hangs.
MOST_QUESTIONS = 16

_CANNOT = "Your log-in cannot be checked at the moment. Try again later."


async def check_rules(logins: Logins, name: str, details: dict[str, Any]) -> None:
    """Ask every rule; raise ``PolicyError`` with its reason, ``UnavailableError`` if one fails."""
    if logins.absent_rules:
        log.error("a rule for log-ins is absent", plugins=logins.absent_rules)
        raise UnavailableError(_CANNOT, code="login.rule")
    for plugin, rule in logins.rules.items():
        try:
            answer = in_thread(plugin, partial(rule.admit, name, dict(details)))
            reason = await asyncio.wait_for(answer, RULE_PATIENCE)
            if not isinstance(reason, str):
                raise TypeError(f"admit returned {type(reason).__name__}, not a text")
        except Exception as error:
            cause = f"no answer within {RULE_PATIENCE:g} s"
            if not isinstance(error, TimeoutError):
                cause = f"{type(error).__name__}: {error}"
            log.error("a rule for log-ins failed", plugin=plugin, user=shown(name), reason=cause)
            raise UnavailableError(_CANNOT, code="login.rule") from error
        if reason:
            log.warning("a rule refused a log-in", plugin=plugin, user=shown(name), reason=reason)
            raise PolicyError(reason, code="login.refused")


def check_identity(handler: Any, name: str, details: dict[str, Any]) -> dict[str, Any] | None:
    """Return what is kept of a person, so that the next one of this name can be told apart.

    None if the provider tells no identifier. Raise ``PolicyError`` if the name belongs to somebody
    else: names change hands at many providers, and the files here must not.
    """
    subject = details.get("subject")
    if not subject:
        return None
    digest = hashlib.sha256(f"{details['login']}\0{subject}".encode()).hexdigest()[:32]
    user = handler.find_user(name)
    known = dict((user.user_info or {}) if user is not None else {})
    if known.setdefault("identity", digest) != digest:
        log.warning("a name changed hands at its provider", user=shown(name))
        raise PolicyError(
            f"The name {name} belongs to somebody else here, who had it before. Ask the "
            "administrator, who can remove the old account.",
            code="login.identity",
        )
    return known


class _Questions:
    """Counts the questions of each plugin that are under way."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._lock = threading.Lock()

    def begin(self, plugin: str) -> bool:
        """Count one more, unless there are too many."""
        with self._lock:
            count = self._count.get(plugin, 0)
            if count >= MOST_QUESTIONS:
                return False
            self._count[plugin] = count + 1
            return True

    def end(self, plugin: str) -> None:
        """Count one less."""
        with self._lock:
            self._count[plugin] -= 1


_questions = _Questions()


def in_thread(plugin: str, step: Callable[[], Any]) -> asyncio.Future[Any]:
    """Run a plugin's step in a thread that never keeps the hub from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    if not _questions.begin(plugin):
        future.set_exception(TimeoutError())
        return future

    def finish(value: Any, error: BaseException | None) -> None:
        if not future.done():
            future.set_exception(error) if error is not None else future.set_result(value)

    def run() -> None:
        value, error = None, None
        try:
            value = step()
        except BaseException as caught:
            error = caught
        _questions.end(plugin)
        if not loop.is_closed():
            loop.call_soon_threadsafe(finish, value, error)

    threading.Thread(target=run, name=f"rule-{plugin}", daemon=True).start()
    return future
