"""HTTPS by two keys and a subdomain for each person by one, against hostile pages (S39, S42)."""

from __future__ import annotations

import datetime
import json
import re
import socket
import ssl
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from playwright.sync_api import Browser, BrowserContext, Page, expect

from support.browsing import visit
from support.inside import Inside
from support.installation import Installation
from support.ports import free_port
from support.rest_user import START, RestUser, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(420)]

ROOT = Path(__file__).resolve().parents[2]
PAGE = Path(__file__).parent / "inside" / "hostile_page.py"
HOST = "jupyter.localhost"


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for the host and everything below it, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(HOST), x509.DNSName(f"*.{HOST}")]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "tls.crt", folder / "tls.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    paths[1].write_bytes(private)
    paths[1].chmod(0o600)
    return paths


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key."""
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(files: tuple[Path, Path]) -> Iterator[Installation]:
    """An installation of its own, with HTTPS and subdomains."""
    port = free_port()
    with Installation.fresh(
        ROOT,
        port=port,
        https={"certificate": str(files[0]), "key": str(files[1])},
        subdomain_host=f"https://{HOST}:{port}",
    ) as running:
        yield running


def _ask(secure: Installation, files: tuple[Path, Path], path: str, **more: Any) -> httpx.Response:
    """Ask over HTTPS, by the host's name, with the certificate verified."""
    trusted = ssl.create_default_context(cafile=str(files[0]))
    transport = httpx.HTTPTransport(verify=trusted)
    with httpx.Client(transport=transport, trust_env=False, timeout=30) as http:
        headers = {"Host": f"{HOST}:{secure.port}", **more.pop("headers", {})}
        return http.get(
            f"https://127.0.0.1:{secure.port}{path}",
            headers=headers,
            extensions={"sni_hostname": HOST},
            **more,
        )


def test_https_is_served_with_the_operator_s_certificate_and_secure_cookies(
    secure: Installation, files: tuple[Path, Path]
) -> None:
    with (
        socket.create_connection(("127.0.0.1", secure.port), 10) as raw,
        ssl.create_default_context(cafile=str(files[0])).wrap_socket(
            raw, server_hostname=f"ada.{HOST}"
        ) as channel,
    ):
        assert channel.version() in {"TLSv1.2", "TLSv1.3"}
        told = channel.getpeercert(binary_form=True)
    assert told == x509.load_pem_x509_certificate(files[0].read_bytes()).public_bytes(
        serialization.Encoding.DER
    )
    page = _ask(secure, files, "/hub/login", headers={"Sec-Fetch-Mode": "navigate"})
    assert page.status_code == 200
    cookies = page.headers.get_list("set-cookie")
    assert cookies and all("; secure" in cookie.lower() for cookie in cookies), cookies
    # nothing is served without encryption, and nothing old is spoken
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{secure.port}/hub/login", trust_env=False)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", secure.port), 10) as raw,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(raw)
    key = secure.state / "secrets/proxy/tls.key"
    assert key.stat().st_mode & 0o077 == 0


# -- S42 -----------------------------------------------------------------------------------------


class Person(RestUser):
    """A person who is only asked for by the operator, since the host's name is a browser's."""

    def hub(self, method: str, path: str = "", **options: Any) -> httpx.Response:
        headers = {**self.operator, "Host": f"{HOST}:{self.installation.port}"}
        url = f"https://127.0.0.1:{self.installation.port}/hub/api/users/{self.name}{path}"
        return httpx.request(
            method, url, headers=headers, timeout=40, verify=False, trust_env=False, **options
        )

    def account(self, name: str) -> httpx.Response:
        """Ask for an account."""
        headers = {**self.operator, "Host": f"{HOST}:{self.installation.port}"}
        url = f"https://127.0.0.1:{self.installation.port}/hub/api/users/{name}"
        return httpx.get(url, headers=headers, verify=False, trust_env=False, timeout=40)


@pytest.fixture
def context(secure: Installation, browser: Browser) -> Iterator[BrowserContext]:
    """The admin's browser, logged in."""
    made = browser.new_context(ignore_https_errors=True)
    made.set_default_timeout(45_000)
    page = made.new_page()
    visit(page, f"https://{HOST}:{secure.port}/hub/login")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password", exact=True).fill(secure.admin_password)
    page.get_by_role("button", name=re.compile("sign in|log in", re.I)).click()
    page.wait_for_url(re.compile("/hub/(home|spawn|admin)|/user/"))
    page.close()
    yield made
    made.close()


#: What a hostile page does to the hub and to another person; each gives what it got.
ATTACKS = (
    """
async ([hub, other]) => {
    const told = {cookie: document.cookie};
    const ask = async (name, url, more) => {
        try {
            const answer = await fetch(url, {credentials: 'include', ...more});
            told[name] = [answer.type, answer.status, (await answer.text()).length];
        } catch (error) { told[name] = String(error); }
    };
    await ask('read home', hub + '/hub/home');
    await ask('read users', hub + '/hub/api/users');
    await ask('read other', other + '/api/contents');
    await ask('make user', hub + '/hub/api/users/pwned', {method: 'POST', mode: 'no-cors',
        headers: {'Content-Type': 'text/plain'}, body: '{}'});
    await ask('make token', hub + '/hub/api/users/admin/tokens', {method: 'POST',
        body: '{"note": "pwned"}'});
    await ask('change password', hub + '/hub/change-password/admin', {method: 'POST',
        mode: 'no-cors', body: new URLSearchParams({new_password: 'pwned-pwned-pwned',
        new_password_confirmation: 'pwned-pwned-pwned', _xsrf: 'x'})});
    const pause = () => new Promise(done => setTimeout(done, 100));
    const read = async text => {
        // as long as the page has not come there is an empty one of our own
        for (let number = 0; number < 300; number++, await pause()) {
            try { if (text()) return text(); } catch (error) { return error.name; }
        }
        return 'nothing came';
    };
    const frame = document.createElement('iframe');
    frame.src = hub + '/hub/home';
    document.body.append(frame);
    told.frame = await read(() => frame.contentWindow.document.body.innerText);
    const opened = window.open(hub + '/hub/home');
    told.opened = await read(() => opened.closed ? 'closed' : opened.document.body.innerText);
    for (const name of ['jupyterhub-hub-login', '__Host-jupyterhub-hub-login', '_xsrf',
                        '__Host-_xsrf', 'jupyterhub-session-id'])
        for (const path of ['/', '/hub/', '/hub/home'])
            document.cookie = `${name}=evil; domain="""
    + HOST
    + """; path=${path}; secure`;
    return told;
}
"""
)


@pytest.fixture(scope="module")
def hostile(secure: Installation) -> Iterator[Inside]:
    """The session of somebody who serves a hostile page from it."""
    person = Person(secure, "mallory")
    assert person.start().status_code in {201, 202}
    wait_for(lambda: (person.server() or {}).get("ready"), START, "the server is not ready")
    inside = Inside(person)
    _inside(inside, "serve", detached=True)
    wait_for(lambda: _serves(inside), 60, "the hostile page is not served")
    yield inside
    person.stopped()


def _serves(inside: Inside) -> bool:
    code = "import socket; socket.create_connection(('127.0.0.1', 9999)).close()"
    command = ["docker", "exec", inside.container, "/opt/venv/bin/python", "-c", code]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _inside(inside: Inside, verb: str, *, detached: bool = False) -> str:
    """Run the program of the hostile page in its session."""
    options = ["-d"] if detached else []
    return subprocess.run(
        ["docker", "exec", *options, inside.container, "/opt/venv/bin/python", "-c",
         PAGE.read_text(), verb],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_a_hostile_page_of_one_person_gets_nothing_of_the_hub_or_of_another(
    secure: Installation, context: BrowserContext, hostile: Inside
) -> None:
    hub = f"https://{HOST}:{secure.port}"
    login = [one for one in context.cookies() if "hub-login" in one["name"]]
    assert [(one["name"], one["domain"]) for one in login] == [
        ("__Host-jupyterhub-hub-login", HOST)
    ]
    assert all(one["secure"] and one["httpOnly"] for one in login)

    page = context.new_page()
    visit(page, f"https://mallory.{HOST}:{secure.port}/user/mallory/proxy/9999/")
    consent = page.get_by_role("button", name=re.compile("authorize", re.I))
    if consent.count():
        consent.click()
    expect(page.locator("#hostile")).to_have_text("mallory's page")
    told = page.evaluate(ATTACKS, [hub, f"https://admin.{HOST}:{secure.port}/user/admin"])
    print(json.dumps(told, indent=1))
    for name in ("read home", "read users", "read other", "make token"):
        assert "Failed to fetch" in told[name], told
    for name in ("frame", "opened"):
        assert told[name] in {"SecurityError", "TypeError", "closed"}, told
    assert "hub-login" not in told["cookie"]
    # what the program on mallory's server saw of the visitor's cookies
    received = _inside(hostile, "received")
    assert "jupyterhub-user-mallory" in received and "hub-login" not in received

    assert isinstance(hostile.person, Person)
    assert hostile.person.account("pwned").status_code == 404
    assert hostile.person.account("admin").status_code == 200

    # planted cookies do not log the visitor out, or in as somebody else
    again = context.new_page()
    answer = visit(again, f"{hub}/hub/home")
    assert again.url == f"{hub}/hub/home"
    visit(again, f"{hub}/hub/token")
    assert "pwned" not in again.content()
    assert answer is not None
    policy = answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert f"form-action 'self' https://*.{HOST}:{secure.port};" in policy


def _downloaded(page: Page, name: str) -> Path:
    """Follow a link to a file, again if Chromium dropped it: see ``visit``."""
    for _ in range(8):
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        if download.value.failure() is None:
            break
        page.wait_for_timeout(1000)
    return Path(download.value.path())


def test_published_functions_have_a_host_of_their_own(
    secure: Installation, files: tuple[Path, Path], context: BrowserContext, tmp_path: Path
) -> None:
    source = tmp_path / "sums.jl"
    source.write_text("total(x, more; scale = 1) = (x + more) * scale\n")
    secure.juliabox("api", "save", "admin/sums", str(source), "-f", "total", "--access", "public")
    portal = f"https://portal--service.{HOST}:{secure.port}/services/portal/apis/admin/sums"
    calls = f"https://api--service.{HOST}:{secure.port}/services/api/admin/sums/"
    page = context.new_page()
    # who opens the address of the API is led to its page
    visit(page, calls)
    assert page.url == portal
    page.wait_for_selector("html[data-ready]", state="attached")
    expect(page.locator("#address")).to_have_text(calls)
    document = json.loads(_downloaded(page, "OpenAPI").read_text())
    assert document["servers"] == [{"url": calls.rstrip("/")}]
    for label, value in (("x", "30"), ("more", "12"), ("scale", "2")):
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("region", name="Answer")).to_contain_text("84", timeout=60_000)
    command = page.get_by_label("Command").inner_text()
    assert command == f"curl '{calls}total/30/12?scale=2'"
    # what a program does with it
    own = {"Host": f"api--service.{HOST}:{secure.port}"}
    answer = _ask(secure, files, "/services/api/admin/sums/total/1/2", headers=own)
    assert (answer.status_code, answer.text) == (200, "3")
    assert answer.headers["content-security-policy"]


def test_the_portal_has_a_host_and_cookies_of_its_own(
    secure: Installation, context: BrowserContext
) -> None:
    page = context.new_page()
    visit(page, f"https://{HOST}:{secure.port}/hub/home")
    page.get_by_role("link", name="Portal", exact=True).click()
    own = f"portal--service.{HOST}"
    page.wait_for_url(f"https://{own}:{secure.port}/services/portal/")
    expect(page.get_by_role("heading", name="Sessions")).to_be_visible()
    cookies = [one for one in context.cookies() if "service-portal" in one["name"]]
    assert [(one["name"], one["domain"]) for one in cookies] == [("__Host-service-portal", own)]
    assert all(one["secure"] and one["httpOnly"] for one in cookies)
    # the portal asks the session by the proxy, which it knows by the certificate
    visit(page, f"https://{own}:{secure.port}/services/portal/packages")
    expect(page.get_by_text("does not answer")).to_have_count(0)
