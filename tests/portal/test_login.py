"""Who comes in: log-in by the hub, and nobody else."""

from __future__ import annotations

from collections.abc import Callable

from support.portal_stand import Guest, PortalStand


def test_a_person_who_is_logged_in_at_the_hub_sees_the_portal_at_once(
    person: Callable[[str], Guest],
) -> None:
    page = person("ada").open()
    assert page.status_code == 200
    assert "ada" in page.text


def test_a_stranger_is_sent_to_the_log_in(stand: PortalStand) -> None:
    page = Guest(stand).open()
    assert page.url.path == "/hub/login"
    assert str(page.url.params["next"]).startswith("/hub/api/oauth2/authorize")
