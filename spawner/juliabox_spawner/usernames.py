"""Which user names are legal, and which spellings are the same name.

A name is compared without regard to case and compatibility forms (Unicode's NFKC and case folding),
so that no two people can look alike that way. It may have letters, combining marks and digits of
any script, and ``- _ . @ +`` between them: nothing that means something to a path, a URL, a shell,
HTML or a terminal, and nothing invisible.

The bare name belongs to the hub's own accounts. Whoever comes by another log-in has that plugin's
name and a colon before it; no bare name has a colon, so nobody is mistaken for somebody else.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

#: Characters of the longest name. A name stands percent-encoded, up to nine bytes a character, in
#: the names and paths of cookies, for which browsers admit 4,096 bytes.
MAX_LENGTH = 100

#: Characters of the longest text that is looked at as a name at all.
MAX_INPUT = 1024

_PUNCTUATION = frozenset("-_.@+")


def normalize(name: str) -> str:
    """Return the one spelling that stands for all spellings of a name."""
    if len(name) > MAX_INPUT:
        return name[:MAX_INPUT]
    folded = unicodedata.normalize("NFKC", name.strip()).casefold()
    # folding can give a form that composes anew
    return unicodedata.normalize("NFKC", folded).casefold()


def problem(name: str) -> str:
    """Return what is wrong with a normalised name, for the person, or an empty text."""
    if not name:
        return "A user name is needed."
    if len(name) > MAX_LENGTH:
        return f"A user name has at most {MAX_LENGTH} characters; this one has more."
    if name != normalize(name):
        return "A user name must be given in its normal form."
    wrong = next((c for c in name if not _admitted(c)), "")
    if wrong:
        return f"A user name has letters, digits and - _ . @ + only, not U+{ord(wrong):04X}."
    return _shape_problem(name)


def _admitted(character: str) -> bool:
    return character in _PUNCTUATION or unicodedata.category(character)[0] in "LMN"


def _shape_problem(name: str) -> str:
    if unicodedata.category(name[0])[0] not in "LN" or name[-1] in _PUNCTUATION:
        return "A user name begins and ends with a letter or digit."
    if ".." in name:
        return "A user name has no two dots in a row."
    return ""


def split(name: str) -> tuple[str, str]:
    """Return the log-in plugin and the bare name of ``oidc:ada``; the plugin of ``ada`` is ""."""
    login, colon, bare = name.partition(":")
    return (login, bare) if colon and login else ("", name)


def full_problem(name: str, logins: Collection[str]) -> str:
    """Return what is wrong with a name that may begin with a log-in plugin, as ``oidc:ada``."""
    login, bare = split(name)
    if not login:
        return problem(name)
    if login not in logins:
        return f"There is no log-in {shown(login)} here."
    if len(name) > MAX_LENGTH:
        return f"A user name has at most {MAX_LENGTH} characters; this one has more."
    return problem(bare)


def shown(name: object) -> str:
    """Return a short form of any input that is safe to log."""
    text = str(name)[:32].encode("ascii", "backslashreplace").decode()
    return "".join(c if c.isprintable() else "?" for c in text)
