"""Program of a task's process: ``python -P -m juliabox_manager.tasks.runner CHANNEL``.

``CHANNEL`` is the number of an inherited socket to the manager. The program parts into a guardian
and the process that works; the latter alone loads anything.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from juliabox_manager.tasks.guardian import guard


def main() -> None:
    """Guard one order of the manager."""
    channel = int(sys.argv[1])

    def work() -> NoReturn:
        # only now, in the child: the guardian stays small
        from juliabox_manager.tasks.worker import work as work_on  # noqa: PLC0415

        work_on(channel)

    sys.exit(guard(channel, work))


if __name__ == "__main__":
    main()
