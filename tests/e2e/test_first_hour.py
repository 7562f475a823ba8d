"""What a person does in the first hour, in real Chromium on the real engine."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from support.installation import Installation
from support.person import Person

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

Visit = Callable[[str], Person]


def test_a_wrong_password_is_refused(visit: Visit) -> None:
    admin = visit("admin")
    admin.log_in("not the password")
    expect(admin.page).to_have_url(re.compile(r"/hub/login"))
    expect(admin.page.get_by_text(re.compile("invalid", re.I)).first).to_be_visible()


def test_a_person_logs_in_and_julia_answers(visit: Visit, installation: Installation) -> None:
    password = installation.add_user("ada")
    ada = visit("ada")
    ada.log_in(password)
    ada.start_session()
    ada.new_notebook()
    expect(ada.run_cell("sum(1:10)")).to_contain_text("55")
    ada.screenshot("notebook")
