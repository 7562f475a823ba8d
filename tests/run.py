"""Run the tests in two steps: those that may run beside each other, then those that must not.

``make test`` runs this. Arguments are those of pytest, and go to both steps.
"""

from __future__ import annotations

import os
import subprocess
import sys

#: Most of these tests wait most of the time, for servers and containers of their own; a file stays
#: in one process, and those in the browser stay last.
TOGETHER = ("--part=together", "--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder")
#: The run's installation, faults, and measurements of time.
ALONE = ("--part=alone",)
NO_TESTS = 5
#: The order of sets is drawn, too: it is the same in each run.
ENVIRONMENT = {"PYTHONHASHSEED": "0", **os.environ}


def main(arguments: list[str]) -> int:
    """Return the status of the first step that failed, or 0."""
    statuses = []
    for options in (TOGETHER, ALONE):
        # what is given comes later, so that it wins: --numprocesses=0 is for a debugger
        command = [sys.executable, "-m", "pytest", *options, *arguments]
        statuses.append(subprocess.run(command, env=ENVIRONMENT, check=False).returncode)
        if statuses[-1] not in (0, 1, NO_TESTS):
            break  # it was interrupted, or its arguments are wrong
    if all(status == NO_TESTS for status in statuses):
        return NO_TESTS
    return next((status for status in statuses if status not in (0, NO_TESTS)), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
