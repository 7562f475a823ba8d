"""What people in the queue are told."""

from __future__ import annotations

import math

#: The manager's codes for a want of room that ends when other people's sessions end.
SESSIONS = "no_room.sessions"
MEMORY = "no_room.memory"

_WANTS = {
    SESSIONS: "All servers that can run at one time are running.",
    MEMORY: "Other servers have the memory at the moment.",
}


def position(number: int, seconds: float | None, want: str) -> str:
    """Return the place of a start, with what is known of the time that it will take.

    ``want`` is the code of what there is no room for: then nobody knows how long it takes.
    """
    place = f"You are number {number} in the queue"
    if want:
        return f"{place}. {_WANTS[want]} It goes on as soon as one of them stops."
    if seconds is None:
        return place
    return f"{place}; about {amount(seconds)}"


def timed_out(seconds: float, want: str) -> str:
    """Return why a start that waited for so long was given up."""
    reason = _WANTS.get(want, "Too many people start their servers.")
    return (
        f"Your turn did not come within {amount(seconds)}. {reason} "
        "Try again later; if this happens again, tell the operator of this service."
    )


def amount(seconds: float) -> str:
    """Return a time as people say it: seconds in steps of five, then minutes."""
    steps = max(1, math.ceil(seconds / 5)) * 5
    if steps < 60:
        return f"{steps} seconds"
    minutes = math.ceil(steps / 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"
