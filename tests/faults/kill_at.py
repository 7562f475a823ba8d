"""Run the manager's own program, and let it kill itself when a named step is recorded.

Usage: kill_at.py [before:|after:]STEP --settings FILE. ``before`` dies before the step is on disk,
``after`` (the default) right after. The production code knows nothing of this.
"""

from __future__ import annotations

import os
import signal
import sys

from juliabox_manager.main import main
from juliabox_manager.records import STEPS, SessionRecord
from juliabox_manager.store import Store


def arm(wanted: str) -> None:
    """Wrap the store's one method that records steps."""
    when, _, step = wanted.rpartition(":")
    assert step in STEPS, f"{step} is no step"
    record = Store.record

    async def deadly(self: Store, session: SessionRecord, reached: str) -> None:
        if reached != step or when != "before":
            await record(self, session, reached)
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    Store.record = deadly  # type: ignore[method-assign]


if __name__ == "__main__":
    arm(sys.argv.pop(1))
    main()
