"""Plugins in the portal: their pages, scripts, pieces and files; and what they cannot do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.portal_stand import FEATURES, PREFIX, Guest, PortalStand, page_of

STATIC = f"{PREFIX}plugins/stand-pages/static/"


def test_a_plugins_page_has_the_portals_log_in_and_xsrf_check(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    guest = person("visitor")
    assert guest.open("plugins/stand-pages/hello").text == "hello visitor"
    path = f"{PREFIX}plugins/stand-pages/hello"
    assert guest.http.post(path).status_code == 403
    assert guest.http.post(path, data={"_xsrf": guest.xsrf}).text == "changed"
    stranger = Guest(stand).http.get(path, headers={"Sec-Fetch-Mode": "navigate"})
    assert stranger.status_code == 302


def test_a_plugins_page_that_fails_says_so_and_tells_nothing(
    stand: PortalStand, person: Callable[[str], Guest]
) -> None:
    answer = person("unlucky").open("plugins/stand-pages/broken")
    assert answer.status_code == 500
    assert "secret of the plugin" not in answer.text
    assert "Traceback" not in answer.text
    assert "internal" in answer.text
    assert "secret of the plugin" in stand.portal_log


def test_scripts_of_plugins_stand_on_every_page_by_their_digest(
    person: Callable[[str], Guest],
) -> None:
    guest = person("scripted")
    (address,) = page_of(guest.open().text)["scripts"]
    assert address.startswith(f"{STATIC}top.js?v=")
    answer = guest.http.get(address)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] in {"text/javascript", "application/javascript"}
    assert "immutable" in answer.headers["Cache-Control"]


def test_features_are_the_same_in_python_and_in_the_browser(
    person: Callable[[str], Guest],
) -> None:
    guest = person("asker")
    assert guest.api("GET", "features").json() == FEATURES
    assert page_of(guest.open().text)["features"] == FEATURES


def test_pieces_of_plugins_are_rendered_and_one_that_fails_leaves_its_place_empty(
    person: Callable[[str], Guest],
) -> None:
    guest = person("<x>".strip("<>") + "y")
    section = guest.open("settings").text
    assert "section of xy" in section
    assert f"{PREFIX}plugins/stand-piece/static/picture.svg" in section
    assert f'name="_xsrf" value="{guest.xsrf}"' in section
    head = guest.open("session/").text
    assert "head of xy" in head


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("stand-broken-piece", "plugin.failed", "ui.config.section"),
        ("stand-broken-pages", "plugin.failed", "register"),
        ("stand-outside", "plugin.static", "static"),
        ("stand-no-compute", "plugin.contract", "get_instance_id"),
    ],
)
def test_what_is_wrong_with_a_plugin_is_listed_by_name_and_distribution(
    admin: Guest, name: str, code: str, said: str
) -> None:
    admin.open("settings")
    plugins = admin.api("GET", "admin/plugins").json()["plugins"]
    (view,) = [one for one in plugins if one["name"] == name]
    assert (view["fault_code"], view["distribution"]) == (code, "stranger")
    assert said in view["fault"]
    assert "Traceback" not in view["fault"]


@pytest.mark.parametrize(
    ("path", "kind"),
    [("page.css", "text/css"), ("picture.svg", "image/svg+xml")],
)
def test_files_of_a_plugin_have_their_type_and_cannot_act_as_a_page(
    stand: PortalStand, path: str, kind: str
) -> None:
    answer = Guest(stand).http.get(f"{STATIC}{path}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, kind)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    again = Guest(stand).http.get(
        f"{STATIC}{path}", headers={"If-None-Match": answer.headers["ETag"]}
    )
    assert again.status_code == 304


@pytest.mark.parametrize(
    "path",
    [
        "../__init__.py",
        "..%2f__init__.py",
        "%2e%2e/__init__.py",
        "%2e%2e%2f%2e%2e%2fportal_stand.py",
        "..\\__init__.py",
        "%00",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "out.txt",
        "",
        ".",
        "absent.js",
    ],
)
def test_nothing_outside_a_plugins_static_folder_is_served(stand: PortalStand, path: str) -> None:
    answer = Guest(stand).http.get(f"{STATIC}{path}")
    assert answer.status_code in {400, 403, 404}, answer.text
    raw = Guest(stand).http.build_request("GET", f"{STATIC}x")
    raw.url = raw.url.copy_with(raw_path=f"{STATIC}{path}".encode())
    assert Guest(stand).http.send(raw).status_code in {400, 403, 404}


def test_a_plugin_that_is_not_enabled_has_no_files(stand: PortalStand) -> None:
    for name in ("nobody", "..", "rdbms"):
        answer = Guest(stand).http.get(f"{PREFIX}plugins/{name}/static/top.js")
        assert answer.status_code == 404
