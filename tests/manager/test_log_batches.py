"""Lines that are written in batches, from a thread."""

from __future__ import annotations

import io
import logging
import os
import threading
import time

from juliabox_manager.log_batches import BatchHandler


def logger_of(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("batches")
    logger.addHandler(handler)
    return logger


def wait_for(stream: io.StringIO, text: str) -> None:
    end = time.monotonic() + 30
    while text not in stream.getvalue():
        assert time.monotonic() < end, stream.getvalue()
        time.sleep(0.01)


def test_lines_are_written_soon_and_in_their_order() -> None:
    stream = io.StringIO()
    handler = BatchHandler(stream, gathered=0.01)
    for number in range(100):
        logger_of(handler).info("line %s", number)
    wait_for(stream, "line 99\n")
    assert stream.getvalue().splitlines() == [f"line {number}" for number in range(100)]
    handler.close()


def test_what_waits_at_the_end_is_written() -> None:
    stream = io.StringIO()
    handler = BatchHandler(stream, gathered=60)
    logger_of(handler).info("last")
    assert stream.getvalue() == ""
    handler.close()
    assert stream.getvalue() == "last\n"


def test_a_log_that_nobody_reads_holds_up_nobody_and_tells_what_it_dropped() -> None:
    reading, writing = os.pipe()
    handler = BatchHandler(os.fdopen(writing, "w"), gathered=0.01, most=50)
    logger = logger_of(handler)
    for number in range(5000):
        logger.info("%s %s", number, "x" * 200)
        if number == 1000:
            time.sleep(0.2)  # the pipe is full by now
    found: list[str] = []

    def read() -> None:
        with os.fdopen(reading) as file:
            found.extend(file)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    handler.close()
    handler._stream.close()
    reader.join(60)
    assert any("were dropped" in line for line in found)
    assert found[-1].startswith("4999 ")
