"""The child process in which the command line imports plugins: one that breaks it harms no more.

It reads a request from standard input and answers on standard output, one line of JSON before and
one after each plugin, so that its parent knows which plugin hangs or ended it. What plugins print
goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import JuliaBoxError
from juliabox_ext.registry import validated
from juliabox_ext.showing import hidden, without_secrets


def examine(info: PluginInfo, given: dict[str, Any]) -> dict[str, Any]:
    """Import and check one plugin, and its settings; return what was found, faults included."""
    found: dict[str, Any] = {"shown": hidden(given)}
    try:
        loaded = catalog.load_class(info)
        found |= {
            "provides": list(loaded.provides),
            "requires": list(loaded.requires),
            "summary": (loaded.__doc__ or "").strip().partition("\n")[0],
            "schema": loaded.Settings.model_json_schema(),
            "shown": without_secrets(loaded.Settings, given),
        }
        validated(info, loaded, given)
    except JuliaBoxError as error:
        found |= {"code": error.code, "message": error.message}
    except Exception as error:
        said = f"{info} failed: {type(error).__name__}: {error}"
        found |= {"code": "plugin.failed", "message": said}
    return found


def main() -> None:
    """Answer one request."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    request = json.load(sys.stdin)
    for number, given in enumerate(request["plugins"]):
        answers.write(json.dumps({"begin": number}) + "\n")
        answers.flush()
        info = PluginInfo(**given)
        found = examine(info, request["settings"].get(info.name, {}))
        answers.write(json.dumps({"end": number, **found}) + "\n")
        answers.flush()
    os._exit(0)  # a plugin's threads are not waited for


if __name__ == "__main__":
    main()
