"""Frames between the kernel and Julia: length, kind, length-prefixed fields."""

import asyncio
import enum
import struct
from typing import NamedTuple

LARGEST_FRAME = 512 * 1024 * 1024  # bytes; Julia replaces what is larger by a note
_LENGTH = struct.Struct("<I")


class Ask(enum.Enum):
    """What the kernel tells Julia."""

    ADOPT = b"A"  # folder, name, value, name, value…: the person's, from now on
    EXECUTE = b"X"  # code, execution count, silent, allow_stdin
    COMPLETE = b"C"  # code, cursor in bytes
    INSPECT = b"I"  # code, cursor in bytes
    IS_COMPLETE = b"K"  # code
    EXPRESSION = b"U"  # code
    INTERRUPT = b"N"
    SHOWN = b"D"  # what DISPLAY or CLEAR asked for is published
    INPUT = b"R"  # "1" and the line, or "0"


class Told(enum.Enum):
    """What Julia tells the kernel."""

    HELLO = b"h"  # version, process id
    RESULT = b"r"  # type, data, type, data…
    DISPLAY = b"d"  # display id, is update, type, data…
    CLEAR = b"c"  # wait
    DOCUMENTATION = b"o"  # search hints, plain text, markdown
    ERROR = b"e"  # name, message, coloured text
    INPUT = b"i"  # prompt, is password
    INTERRUPTED = b"n"  # the reader has seen the interrupt
    ANSWER = b"a"  # fields of the answer
    FINISHED = b"f"


class Frame(NamedTuple):
    """One frame from Julia."""

    kind: Told
    fields: list[bytes]

    def text(self, index: int) -> str:
        """Return a field as text; bytes that are no UTF-8 are replaced."""
        return self.fields[index].decode("utf-8", "replace")


def pack(kind: Ask, *fields: str) -> bytes:
    """Encode one frame for Julia."""
    parts = [kind.value]
    for field in fields:
        data = field.encode("utf-8", "replace")
        parts += [_LENGTH.pack(len(data)), data]
    rest = b"".join(parts)
    return _LENGTH.pack(len(rest)) + rest


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """Read one frame; `None` when Julia has closed its end."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        if not 0 < length <= LARGEST_FRAME:
            return None
        rest = await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    fields = []
    position = 1
    while position < len(rest):
        (size,) = _LENGTH.unpack_from(rest, position)
        position += _LENGTH.size
        fields.append(rest[position : position + size])
        position += size
    return Frame(Told(rest[:1]), fields)
