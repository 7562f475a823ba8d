"""A person in a browser: what they do, in their words."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from playwright.sync_api import ConsoleMessage, Error, Locator, Page, Response, expect

from support.browsing import visit
from support.installation import Installation

START_TIMEOUT_MS = 90_000
#: Whether the hub's script, which comes after its page, has made the button work. It may be dropped
#: by then, as the page itself may be: then the page is opened again, so many times.
STOP_WORKS = "() => window.jQuery?._data(document.getElementById('stop'), 'events')?.click"
TRIES = 3


class Person:
    """Drives one browser profile."""

    def __init__(
        self, page: Page, name: str, installation: Installation, screenshots: Path | None
    ) -> None:
        self.page = page
        self.name = name
        self.installation = installation
        self.screenshots = screenshots
        #: What the browser was answered, for tests that listen.
        self.answers: list[Response] = []
        #: What JupyterLab says in the browser's console of parts of it that do not work.
        self.broken: list[str] = []
        page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "activat" in message.text:
            self.broken.append(message.text)

    def screenshot(self, title: str) -> None:
        """Keep a picture of the page, if this run keeps any."""
        if self.screenshots is not None:
            self.screenshots.mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=self.screenshots / f"{title}.png")

    def listen(self) -> None:
        """Keep what the browser is answered from now on."""

        def keep(answer: Response) -> None:
            self.answers.append(answer)

        self.page.on("response", keep)

    def go(self, path: str) -> None:
        """Open a path of the service."""
        visit(self.page, self.installation.url + path)

    def log_in(self, password: str) -> None:
        """Fill in the log-in page."""
        self.go("/hub/login")
        self.page.get_by_label("Username").fill(self.name)
        self.page.get_by_label("Password", exact=True).fill(password)
        self.screenshot("login")
        # whoever opens another page next must not be overtaken by where this leads
        with self.page.expect_navigation(wait_until="commit"):
            self.page.get_by_role("button", name=re.compile("sign in|log in", re.I)).click()

    def start_session(self) -> None:
        """Start the default server from the home page, and wait for JupyterLab."""
        self.go("/hub/spawn")
        submit = self.page.locator(
            "#spawn_form input[type=submit], #spawn_form button[type=submit]"
        )
        if submit.count():
            self.screenshot("spawn")
            submit.first.click()
        self.await_lab()

    def await_lab(self) -> None:
        """Wait until JupyterLab is drawn."""
        self.page.wait_for_url(re.compile(r"/user/[^/]+/(lab|doc)"), timeout=START_TIMEOUT_MS)
        expect(self.page.locator("#jp-main-dock-panel")).to_be_visible(timeout=START_TIMEOUT_MS)
        self.page.locator("#jupyterlab-splash").wait_for(state="detached", timeout=START_TIMEOUT_MS)

    def open_menu(self, *path: str) -> None:
        """Choose an entry of JupyterLab's menu bar, given the labels on the way."""
        self.page.get_by_role("menuitem", name=path[0], exact=True).first.click()
        for label in path[1:-1]:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(label, exact=True).last.hover()
        self.page.locator(".lm-Menu-itemLabel").get_by_text(path[-1], exact=True).last.click()

    def new_notebook(self) -> None:
        """Open a new Julia notebook through the file menu, and wait for its kernel."""
        self.open_menu("File", "New", "Notebook")
        expect(
            self.page.locator("#jp-main-dock-panel .lm-TabBar-tab.lm-mod-current")
        ).to_contain_text("Untitled", timeout=START_TIMEOUT_MS)
        expect(self.notebook.locator(".jp-Notebook-ExecutionIndicator")).to_have_attribute(
            "data-status", "idle", timeout=START_TIMEOUT_MS
        )
        expect(self.page.locator("#jp-main-statusbar")).to_contain_text(
            "Julia | Idle", timeout=START_TIMEOUT_MS
        )

    def interrupt(self) -> None:
        """Interrupt the kernel of the notebook in front."""
        self.open_menu("Kernel", "Interrupt Kernel")

    def type_cell(self, source: str) -> Locator:
        """Type into the last cell of the notebook in front, and run it without waiting."""
        cells = self.notebook.locator(".jp-CodeCell")
        cell = cells.nth(cells.count() - 1)
        cell.locator(".cm-content").click()
        # pasted as one text: typing would trigger the editor's own brackets and completion
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Shift+Enter")
        return cell

    def run_cell(self, source: str) -> Locator:
        """Run a cell, wait until it is done, and return its output area."""
        cell = self.type_cell(source)
        expect(cell.locator(".jp-InputPrompt")).to_have_text(
            re.compile(r"\[\d+\]"), timeout=START_TIMEOUT_MS
        )
        return cell.locator(".jp-OutputArea").first

    @property
    def notebook(self) -> Locator:
        """The notebook in front."""
        return self.page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")

    def stop_session(self) -> None:
        """Stop the default server from the home page."""
        for _ in range(TRIES):
            self.go("/hub/home")
            with contextlib.suppress(Error):
                self.page.wait_for_function(STOP_WORKS, timeout=10_000)
                break
        self.page.locator("#stop").click()
        expect(self.page.locator("#stop")).to_be_hidden(timeout=START_TIMEOUT_MS)

    def sign_up(self, password: str) -> None:
        """Fill in the sign-up page."""
        self.go("/hub/signup")
        self.page.get_by_label("Username").fill(self.name)
        self.page.locator("input[type=password]").first.fill(password)
        self.page.locator("input[type=password]").last.fill(password)
        with self.page.expect_navigation(wait_until="commit"):
            self.page.get_by_role("button", name=re.compile("sign up|create", re.I)).first.click()

    def log_out(self) -> None:
        """Log out of the hub."""
        self.go("/hub/home")
        self.page.get_by_role("link", name=re.compile("log ?out", re.I)).first.click()
        expect(self.page).to_have_url(re.compile(r"/hub/log(in|out)"))
