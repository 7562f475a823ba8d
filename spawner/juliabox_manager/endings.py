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
        return ExitInfo(
            code=_KILLED,
            oom_killed=False,
            reason=told or "its container is gone from the engine",
            last_lines=lines,
        )
    return ExitInfo(
        code=container.exit_code,
        oom_killed=container.oom_killed,
        reason=told or _own_reason(container, limits),
        last_lines=lines,
    )


def _own_reason(container: Container, limits: Limits) -> str:
    if container.oom_killed and container.exit_code != 0:
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
    return f"it ran out of memory (limit {limits.memory // 1024**2} MiB)"
