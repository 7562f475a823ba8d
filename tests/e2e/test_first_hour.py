"""What a person does in the first hour, in real Chromium on the real engine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from support.installation import Installation
from support.person import START_TIMEOUT_MS, Person
from support.rest_user import wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

Visit = Callable[[str], Person]

LOOP = """total = 0
for i in 1:10^9
    global total
    total += 1
    sleep(0.01)
    if i % 10 == 0
        print(i, " ")
        flush(stdout)
    end
end"""

CIRCLE = "<svg width='60' height='60'><circle r='25' cx='30' cy='30'/></svg>"
SVG = f'display("image/svg+xml", "{CIRCLE}")'


@pytest.fixture(scope="module")
def ada_password(installation: Installation) -> str:
    return installation.add_user("ada")


def test_a_wrong_password_is_refused(visit: Visit) -> None:
    admin = visit("admin")
    admin.log_in("not the password")
    expect(admin.page).to_have_url(re.compile(r"/hub/login"))
    expect(admin.page.get_by_text(re.compile("invalid", re.I)).first).to_be_visible()


def test_a_person_logs_in_and_julia_answers(visit: Visit, ada_password: str) -> None:
    ada = visit("ada")
    ada.log_in(ada_password)
    ada.start_session()
    ada.new_notebook()
    expect(ada.run_cell("sum(1:10)")).to_contain_text("55")
    expect(ada.run_cell(SVG).locator("svg, img")).to_be_visible()
    ada.screenshot("notebook")

    cell = ada.type_cell(LOOP)
    expect(cell.locator(".jp-OutputArea")).to_contain_text("10 20", timeout=START_TIMEOUT_MS)
    ada.interrupt()
    expect(cell.locator(".jp-OutputArea")).to_contain_text("InterruptException")
    expect(ada.run_cell("total > 10")).to_contain_text("true")
    assert ada.broken == []


def test_a_terminal_runs_as_nobody_special(visit: Visit, ada_password: str) -> None:
    ada = visit("ada")
    ada.log_in(ada_password)
    ada.start_session()
    ada.open_menu("File", "New", "Terminal")
    keyboard = ada.page.locator(".jp-Terminal .xterm-helper-textarea")
    expect(keyboard).to_be_attached()
    ada.page.locator(".jp-Terminal").click()
    expect(keyboard).to_be_focused()
    ada.page.keyboard.type("id -u > uid.txt && julia -e 'print(6*7)' >> uid.txt\n")
    refresh = ada.page.get_by_role("button", name="Refresh the file browser")
    row = ada.page.locator(".jp-DirListing-item", has_text="uid.txt")

    def shown() -> bool:
        refresh.click()  # by itself JupyterLab looks every ten seconds
        return row.is_visible()

    wait_for(shown, START_TIMEOUT_MS / 1000, "what the terminal wrote is not shown")
    ada.page.locator(".jp-Terminal").click()
    ada.page.keyboard.type("cat uid.txt; echo\n")
    ada.screenshot("terminal")


def test_files_go_up_and_come_down_again(visit: Visit, ada_password: str, tmp_path: Path) -> None:
    ada = visit("ada")
    ada.log_in(ada_password)
    ada.start_session()
    note = tmp_path / "grüße.txt"
    note.write_text("viele Grüße\n")
    with ada.page.expect_file_chooser() as chooser:
        ada.page.locator(
            '.jp-FileBrowser [data-jp-item-name="uploader"] , .jp-FileBrowser [title^="Upload"]'
        ).first.click()
    chooser.value.set_files(note)
    row = ada.page.locator(".jp-DirListing-item", has_text="grüße.txt")
    expect(row).to_be_visible()
    row.click(button="right")
    with ada.page.expect_download() as download:
        ada.page.locator(".lm-Menu-item", has_text="Download").first.click()
    assert Path(download.value.path()).read_text() == "viele Grüße\n"


def test_a_second_log_in_finds_the_files(
    visit: Visit, ada_password: str, installation: Installation
) -> None:
    ada = visit("ada")
    ada.log_in(ada_password)
    ada.go("/hub/home")
    ada.screenshot("home")
    ada.stop_session()
    wait_for(
        lambda: not [one for one in installation.sessions() if one["user"] == "ada"],
        60,
        "the session did not end behind the stop",
    )
    ada.log_out()
    ada.go("/hub/home")
    expect(ada.page).to_have_url(re.compile(r"/hub/login"))

    again = visit("ada")
    again.log_in(ada_password)
    again.start_session()
    for name in ("grüße.txt", "uid.txt"):
        expect(again.page.locator(".jp-DirListing-item", has_text=name)).to_be_visible()


def test_a_stranger_signs_up_and_an_admin_lets_them_in(
    visit: Visit, installation: Installation
) -> None:
    grace = visit("grace")
    grace.sign_up("a long enough pass phrase")
    grace.screenshot("signed-up")
    grace.log_in("a long enough pass phrase")
    expect(grace.page).to_have_url(re.compile(r"/hub/login"))

    admin = visit("admin")
    admin.log_in(installation.admin_password)
    admin.go("/hub/authorize")
    admin.screenshot("authorize")
    row = admin.page.get_by_role("row", name="grace")
    # between forms of a log-in stands "or", and nowhere else
    between = row.locator("form").evaluate_all(
        "forms => forms.map(form => getComputedStyle(form, '::before').content)"
    )
    assert between == ["none", "none"]
    with admin.page.expect_navigation(wait_until="commit"):
        row.get_by_role("button", name="Authorize").click()

    grace.log_in("a long enough pass phrase")
    expect(grace.page).not_to_have_url(re.compile(r"/hub/login"))


def test_an_admin_starts_and_stops_the_server_of_another(
    visit: Visit, installation: Installation
) -> None:
    installation.add_user("emmy")
    admin = visit("admin")
    admin.log_in(installation.admin_password)
    admin.go("/hub/admin")
    row = admin.page.locator("tr.user-row, tr", has_text="emmy").first
    row.get_by_role("button", name="Start Server").click()
    expect(row.get_by_role("button", name="Stop Server")).to_be_visible(timeout=START_TIMEOUT_MS)
    admin.screenshot("admin")
    assert [one["user"] for one in installation.sessions() if one["user"] == "emmy"] == ["emmy"]
    row.get_by_role("button", name="Stop Server").click()
    expect(row.get_by_role("button", name="Start Server")).to_be_visible(timeout=START_TIMEOUT_MS)
