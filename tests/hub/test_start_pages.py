"""The way from a start to the server: no page between them that is not needed."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator

import httpx

from support.hub_stand import HubStand
from support.visitor import Visitor, add_person
from support.waiting import measured

START = "/hub/spawn/{}?opt-profile=standard"
#: Seconds for which the hub waits for a start before it shows the page of it.
MOMENT = 1.0


def quick_starts(
    stand: HubStand, visitor: Visitor, name: str, more: str = ""
) -> Iterator[tuple[httpx.Response, str]]:
    """Yield the answer to a start that was over within the moment, and whose it was."""
    for took in measured(MOMENT, tries=5):
        person = f"{name}{len(took)}"
        visitor.log_in(person, add_person(stand, person))
        begun = time.monotonic()
        sent = visitor.get(START.format(person) + more.format(person))
        took.append(time.monotonic() - begun)
        if took[-1] < MOMENT:
            yield sent, person


def test_a_start_that_is_over_at_once_leads_straight_to_the_server(
    stand: HubStand, visitor: Visitor
) -> None:
    for sent, name in quick_starts(stand, visitor, "swift"):
        assert sent.status_code == 302
        assert sent.headers["location"].startswith(f"/user/{name}/")


def test_a_start_that_is_over_at_once_leads_to_where_the_person_was_going(
    stand: HubStand, visitor: Visitor
) -> None:
    for sent, name in quick_starts(stand, visitor, "bound", "&next=/user/{}/lab/tree/a.ipynb"):
        assert sent.headers["location"] == f"/user/{name}/lab/tree/a.ipynb"


def test_a_start_that_takes_a_while_has_its_page(stand: HubStand, visitor: Visitor) -> None:
    visitor.log_in("slow", add_person(stand, "slow"))
    stand.manager.pace = 0.6
    try:
        sent = visitor.get(START.format("slow"))
        assert sent.headers["location"].startswith("/hub/spawn-pending/slow")
        until = time.monotonic() + 60
        while visitor.get("/hub/spawn-pending/slow").status_code != 302:
            assert time.monotonic() < until
            time.sleep(0.2)
    finally:
        stand.manager.pace = 0.0


def test_a_file_with_a_compressed_twin_is_sent_as_such_to_who_takes_it(
    stand: HubStand, visitor: Visitor
) -> None:
    assert stand.packages is not None
    style = stand.packages / "juliabox_config" / "static" / "juliabox.css"
    twin = style.with_name("juliabox.css.gz")
    twin.write_bytes(gzip.compress(style.read_bytes()))
    try:
        sent = visitor.http.get("/hub/static/juliabox/juliabox.css")
        assert sent.headers["content-encoding"] == "gzip"
        assert sent.headers["content-type"] == "text/css"
        assert sent.headers["vary"] == "Accept-Encoding"
        assert sent.text == style.read_text()
        plain = visitor.http.get(
            "/hub/static/juliabox/juliabox.css", headers={"Accept-Encoding": "identity"}
        )
        assert "content-encoding" not in plain.headers
        assert plain.text == style.read_text()
        part = visitor.http.get("/hub/static/juliabox/juliabox.css", headers={"Range": "bytes=0-9"})
        assert (part.status_code, part.text) == (206, style.read_text()[:10])
    finally:
        twin.unlink()
