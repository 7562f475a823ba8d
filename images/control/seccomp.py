"""Write the sessions' seccomp profile: the engine's built-in one without io_uring.

Usage: seccomp.py DEFAULT_JSON OUTPUT. io_uring has had many kernel holes, is admitted by the
default profile of Docker before 25, and neither Julia nor Jupyter needs it.
"""

import json
import sys
from pathlib import Path

REFUSED = {"io_uring_setup", "io_uring_enter", "io_uring_register"}


def without(profile: dict, refused: set[str]) -> dict:
    """Return the profile with no rule that admits one of the refused calls."""
    rules = []
    for rule in profile["syscalls"]:
        names = [name for name in rule["names"] if name not in refused]
        if names:
            rules.append({**rule, "names": names})
    return {**profile, "syscalls": rules}


def main(source: str, target: str) -> None:
    """Read, transform, check that the default is to refuse, and write."""
    profile = json.loads(Path(source).read_text(encoding="utf-8"))
    if profile["defaultAction"] != "SCMP_ACT_ERRNO":
        raise SystemExit(f"{source}: the default action is {profile['defaultAction']}, not ERRNO")
    result = without(profile, REFUSED)
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
