"""The portal of a real installation: a person's own session with its gauges, in real Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from support.installation import Installation
from support.person import START_TIMEOUT_MS, Person
from support.rest_user import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

PORTAL = "/services/portal/"


@pytest.fixture(scope="module")
def password(installation: Installation) -> str:
    return installation.add_user("pia")


def test_the_portal_is_one_of_the_parts_and_healthy(installation: Installation) -> None:
    status = json.loads(installation.juliabox("status", "--json"))
    assert status["components"]["portal"]["state"] == "running"


def test_a_person_sees_and_stops_a_session_in_the_portal(
    visit: Callable[[str], Person], installation: Installation, password: str
) -> None:
    pia = visit("pia")
    pia.log_in(password)
    pia.await_lab()  # the hub starts the default server of whoever logs in
    pia.go("/hub/home")
    pia.page.get_by_role("link", name="Portal", exact=True).click()
    expect(pia.page).to_have_url(re.compile(rf"{PORTAL}$"))
    expect(pia.page.get_by_text("running").first).to_be_visible(timeout=START_TIMEOUT_MS)
    expect(pia.page.get_by_text(re.compile(r"[\d.]+ MiB of 1 GiB")).first).to_be_visible(
        timeout=START_TIMEOUT_MS
    )
    pia.go(f"{PORTAL}packages")
    expect(pia.page.get_by_text(re.compile("environment", re.I)).first).to_be_visible()
    pia.go(PORTAL)
    pia.page.get_by_role("button", name=re.compile("^Stop")).first.click()
    dialog = pia.page.get_by_role("dialog")
    dialog.get_by_role("button", name=re.compile("stop", re.I)).first.click()
    expect(pia.page.get_by_text("stopped").first).to_be_visible(timeout=START_TIMEOUT_MS)


def test_use_of_a_session_is_counted_by_the_portal(
    installation: Installation, visit: Callable[[str], Person]
) -> None:
    admin = visit("admin")
    admin.log_in(installation.admin_password)
    admin.go(f"{PORTAL}admin/usage")

    def downloaded() -> str:
        with admin.page.expect_download() as download:
            admin.page.get_by_role("link", name=re.compile("csv", re.I)).first.click()
        return download.value.path().read_text()

    assert downloaded().startswith("session,owner,image,start,end,hours")
    wait_for(lambda: ",pia," in downloaded(), 60, "the portal does not count it")
