"""``juliabox up``: from whatever is there to a healthy service; changes only what differs."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.console import Console

from juliabox_cli import (
    config_file,
    engine_install,
    health,
    mounts,
    plugin_environment,
    plugin_sources,
    preflight,
    proxy_image,
)
from juliabox_cli.compose import PARTS, parts_of
from juliabox_cli.images import add_plugins, ensure_images, missing_images
from juliabox_cli.installation import Installation, open_installation
from juliabox_cli.login_checks import secret_problems
from juliabox_cli.plugin_choice import Choice, choose
from juliabox_cli.rendering import public_url, render
from juliabox_cli.secret_files import ensure_secrets, install_certificate
from juliabox_cli.source import source_folder
from juliabox_cli.state import exclusive, find_state, make_folders, refuse_foreign
from juliabox_cli.steps import Steps

#: Seconds until all parts must answer.
PATIENCE = 180.0


@dataclass(frozen=True)
class Outcome:
    """What the person is told at the end."""

    url: str
    admin: str
    #: The generated password, when it is to be shown for the first time; else empty.
    password: str


def up(console: Console) -> Outcome:
    """Bring the installation up and return what to print."""
    state = find_state()
    preflight.require_root()
    refuse_foreign(state)
    with exclusive(state):
        return bring_up(console)


def bring_up(console: Console) -> Outcome:
    """Do what :func:`up` does, for a caller that keeps others out of the installation."""
    state = find_state()
    if config_file.ensure(state.config):
        console.print(f"Wrote {state.config} with the defaults", highlight=False, markup=False)
    return _Up(open_installation(), Steps(console)).run()


class _Up:
    """The steps of one ``up``."""

    def __init__(self, installation: Installation, steps: Steps) -> None:
        self._installation = installation
        self._steps = steps
        self._missing: list[str] = []
        self._choice = Choice()

    def run(self) -> Outcome:
        self._engine()
        self._check()
        self._state()
        self._plugins()
        self._images_and_settings()
        self._parts()
        return self._outcome()

    def _engine(self) -> None:
        with self._steps.step("Docker engine") as step:
            step.result = engine_install.ensure_engine(step.advance)
            version = self._installation.engine.version()
            step.result += f", version {version['Version']}"

    def _check(self) -> None:
        one = self._installation
        with self._steps.step("Checks") as step:
            preflight.check_name(one.config, one.state, one.engine)
            preflight.check_port(one.config, one.engine)
            if "manager" not in self._running():  # else its sessions are what takes the memory
                preflight.check_memory()
            self._missing = missing_images(one.config, one.engine)
            preflight.check_disk(one.state, building=bool(self._missing))
            step.result = "passed"

    def _state(self) -> None:
        one = self._installation
        with self._steps.step("State and secrets") as step:
            mounts.ensure_shared(one.state.root)
            make_folders(one.state)
            ensure_secrets(one.state)
            install_certificate(one.state, one.config)
            addresses = one.settle_addresses()
            step.result = f"in {one.state.root}, networks in {addresses.block}"

    def _plugins(self) -> None:
        with self._steps.step("Plugins") as step:
            one = self._installation
            sources = [plugin_sources.parse(text) for text in one.config.plugins.install]
            fresh = plugin_environment.ensure(one.state, sources)
            self._choice = choose(one.config)
            for fault in self._choice.faults:
                self._steps.warn(fault.message)
            one = self._installation
            for problem in secret_problems(one.config, one.state):
                self._steps.warn(problem)
            self._choice.refuse_without_required()
            self._choice.refuse_without_login(self._installation.config.authentication.login)
            names = {plugin.name for plugin in self._choice.plugins}
            step.result = f"{len(names)} in use"
            if fresh:
                step.result += f"; installed {', '.join(fresh)}"

    def _images_and_settings(self) -> None:
        one = self._installation
        with self._steps.step("Images") as step:
            images = ensure_images(one.config, one.engine, step.advance)
            step.result = f"made {', '.join(self._missing)}" if self._missing else "present"
            images = add_plugins(images, one, self._choice, step.advance)
            if images.parts:
                step.result += f", with plugins for {', '.join(images.parts)}"
            images = proxy_image.keep(images, one, source_folder())
        with self._steps.step("Settings") as step:
            changed = render(
                one.config, one.state, one.addresses, images, one.engine.socket, choice=self._choice
            )
            step.result = f"wrote {', '.join(changed)}" if changed else "unchanged"

    def _parts(self) -> None:
        one = self._installation
        with self._steps.step("Parts") as step:
            before = self._running()
            self._clear_leftovers()
            one.compose.up(parts_of(one.config))
            after = self._running()
            fresh = [part for part in after if after[part] != before.get(part)]
            step.result = f"started {', '.join(fresh)}" if fresh else "unchanged"
        with self._steps.step("Waiting until all answer") as step:
            health.await_healthy(
                lambda: health.probe(one.config, one.engine, one.manager), PATIENCE, step.advance
            )
            step.result = "healthy"

    def _clear_leftovers(self) -> None:
        """Remove containers that docker-compose 1.29 renamed and left when it was cut off."""
        one = self._installation
        left = re.compile(rf"/[0-9a-f]{{12}}_{re.escape(one.config.name)}-({'|'.join(PARTS)})")
        for container in one.engine.containers(one.config.name):
            if left.fullmatch(container["Name"]):
                one.engine.remove_container(container["Id"])

    def _running(self) -> dict[str, str]:
        one = self._installation
        found = {}
        for part in PARTS:
            inspected = one.engine.container(f"{one.config.name}-{part}")
            if inspected is not None:
                found[part] = inspected["Id"] + inspected["State"].get("StartedAt", "")
        return found

    def _outcome(self) -> Outcome:
        one = self._installation
        password = ""
        install = one.state.read_install()
        native = one.config.authentication.native
        if install is not None and native and not install.announced:
            password = (one.state.secrets / "hub" / "admin_password").read_text().strip()
            install.announced = True
            one.state.write_install(install)
        return Outcome(public_url(one.config), one.config.authentication.admin, password)
