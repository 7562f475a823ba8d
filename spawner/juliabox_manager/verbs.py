"""Names of verbs on the wire, and which of them a client's settings admit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from juliabox_ext.errors import ConfigurationError
from juliabox_manager.protocol import AnyVerb, Verb


def verb_tag(verb: type[Verb]) -> str:
    """Return a verb's name on the wire, such as ``session.create``."""
    return str(verb.__struct_config__.tag)


VERBS: dict[str, type[Verb]] = {verb_tag(verb): verb for verb in get_args(AnyVerb)}


def verbs_allowed(client: str, patterns: Iterable[str]) -> frozenset[type[Verb]]:
    """Return the verbs that patterns admit: a name, a family such as ``session.*``, or ``*``.

    Raises ``ConfigurationError`` that names client and pattern when a pattern admits nothing.
    """
    allowed: set[type[Verb]] = set()
    for pattern in patterns:
        if pattern == "*":
            found = list(VERBS.values())
        elif pattern.endswith(".*"):
            found = [verb for tag, verb in VERBS.items() if tag.startswith(pattern[:-1])]
        else:
            found = [verb for tag, verb in VERBS.items() if tag == pattern]
        if not found:
            known = ", ".join(sorted(VERBS))
            raise ConfigurationError(
                f"client {client!r}: {pattern!r} names no verb of the manager (known: {known})"
            )
        allowed.update(found)
    return frozenset(allowed)
