"""Sentences that tell a person why a session ended."""

from __future__ import annotations

from juliabox_manager.engine import Container
from juliabox_manager.protocol import ExitInfo, Limits

_KILLED = 137


def exit_info(
    container: Container | None, lines: list[str], limits: Limits, *, told: str = ""
) -> ExitInfo:
    """Say how a container ended.

    ``told`` is the manager's own reason for ending it, such as a stop that was asked for; empty if
    it ended by itself. ``container`` is None if it has vanished from the engine.
    """
    if container is None:
        reason = told or "its container is gone from the engine"
        return ExitInfo(code=_KILLED, oom_killed=False, reason=_sentence(reason), last_lines=lines)
    # the engine also sets the flag when a program in the session was killed and the session lived
    memory = container.oom_killed and container.exit_code != 0 and not told
    return ExitInfo(
        code=container.exit_code,
        oom_killed=memory,
        reason=_sentence(told or _own_reason(container, limits, memory=memory)),
        last_lines=lines,
    )


def _own_reason(container: Container, limits: Limits, *, memory: bool) -> str:
    if memory:
        return out_of_memory(limits)
    if container.started == 0:
        return f"its container could not start: {container.error or 'the engine gives no cause'}"
    if container.exit_code == 0:
        return "its server ended by itself"
    if container.exit_code == _KILLED:
        return "it was killed from outside"
    return f"its server ended with exit code {container.exit_code}"


def out_of_memory(limits: Limits) -> str:
    """Say that memory ran out, with the limit."""
    return _sentence(f"it ran out of memory (limit {limits.memory // 1024**2} MiB)")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
