"""``juliabox down`` and ``destroy``: stop in an order that unmounts homes; data stays, or goes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from juliabox_cli import mounts, preflight
from juliabox_cli.docker_engine import SESSION_LABEL
from juliabox_cli.installation import Installation, open_installation
from juliabox_cli.state import delete, exclusive, find_state
from juliabox_cli.steps import Step, Steps
from juliabox_ext.errors import InternalError, JuliaBoxError, NotFoundError, UnavailableError
from juliabox_manager.protocol import SessionInfo, SessionList, SessionRemove

#: Seconds between SIGTERM and SIGKILL of a part.
_GRACE = 10
#: The same for the API engine, which lets calls under way end.
_ENGINE_GRACE = 30
#: Containers that the engine ends at the same time.
_AT_ONCE = 8


def down(console: Console, *, keep_sessions: bool) -> None:
    """Stop the parts, and the sessions unless kept; all data stays."""
    state = find_state()
    preflight.require_root()
    if not state.root.exists():
        return
    with exclusive(state):
        _Down(open_installation(), Steps(console)).run(keep_sessions=keep_sessions)


def destroy(console: Console) -> None:
    """Stop everything of the installation and delete what it keeps; nothing else is touched."""
    state = find_state()
    preflight.require_root()
    with exclusive(state):
        if state.read_install() is None:
            raise NotFoundError(
                f"there is no installation in {state.root}, so nothing was deleted",
                code="installation.missing",
            )
        steps = Steps(console)
        _Down(open_installation(), steps).run(keep_sessions=False)
        with steps.step("Data") as step:
            left = mounts.left_mounts(state.root)
            if left:
                raise InternalError(
                    f"{left[0]} is still mounted, so nothing was deleted; `umount` it, then repeat",
                    code="down.still_mounted",
                )
            others = delete(state)
            step.result = f"deleted {state.root}"
            if others:
                step.result = f"deleted, but {', '.join(others)} in {state.root} is not JuliaBox's"


class _Down:
    """The steps of one ``down``."""

    def __init__(self, installation: Installation, steps: Steps) -> None:
        self._installation = installation
        self._steps = steps

    def run(self, *, keep_sessions: bool) -> None:
        one = self._installation
        preflight.check_same_name(one.config, one.state)
        if one.state.read_install() is None or not one.state.compose_env.exists():
            return
        preflight.check_name(one.config, one.state, one.engine)
        with self._steps.step("Proxy, services and hub") as step:
            # calls under way need the way that their answers take, and the hub to know callers
            self._end(["api"], _ENGINE_GRACE)
            self._end(["proxy", "portal", "hub"])
            step.result = "stopped"
        if keep_sessions:
            with self._steps.step("Manager") as step:
                self._stop_manager(step)
                step.result = "stopped; sessions go on"
            return
        with self._steps.step("Sessions") as step:
            self._stop_sessions(step)
        with self._steps.step("Manager and networks") as step:
            self._remove_rest(step)
        with self._steps.step("Mounts") as step:
            self._unmount(step)

    def _end(self, parts: Iterable[str], grace: int = _GRACE) -> None:
        """Stop and remove the containers of some parts."""
        one = self._installation
        names = [f"{one.config.name}-{part}" for part in parts]
        _side_by_side(lambda name: one.engine.end_container(name, grace), names)

    def _stop_manager(self, step: Step) -> None:
        """Stop the manager, and remove what waits for people, whom nobody can send now."""
        one = self._installation
        try:
            kept = {item.session for item in self._sessions()}
        except JuliaBoxError as error:
            # the next manager tells sessions from warm containers
            step.advance(error.message, 0.5)
            self._end(["manager"])
            return
        self._end(["manager"])
        waiting = [id_ for session, id_ in self._containers().items() if session not in kept]
        _side_by_side(one.engine.remove_container, waiting)

    def _stop_sessions(self, step: Step) -> None:
        """Stop by the manager, which unmounts; what it does not stop is removed on the engine.

        The manager is stopped in between: it would fill its pools again.
        """
        one = self._installation
        asked: set[str] = set()
        try:
            asked = {item.session for item in self._sessions()}
            one.manager.call_all([SessionRemove(session) for session in asked], timeout=60.0)
        except JuliaBoxError as error:
            step.advance(error.message, 0.5)
        self._end(["manager"])
        left = self._containers()
        _side_by_side(one.engine.remove_container, left.values())
        step.result = f"{len(asked)} stopped"
        forced = asked & set(left)
        if forced:
            step.result += f", {len(forced)} of them by force"
        if len(left) > len(forced):
            step.result += f"; {len(left) - len(forced)} further containers removed"

    def _sessions(self) -> list[SessionInfo]:
        one = self._installation
        manager = one.engine.container(f"{one.config.name}-manager")
        if manager is None or not manager["State"].get("Running"):
            raise UnavailableError("the manager is down")
        sessions: list[SessionInfo] = one.manager.call(SessionList(), timeout=10.0)
        return sessions

    def _containers(self) -> dict[str, str]:
        """Return the containers of sessions, warm ones included, by the session's id."""
        one = self._installation
        found = {}
        for item in one.engine.containers(one.config.name):
            labels = item["Config"].get("Labels") or {}
            if SESSION_LABEL in labels:
                found[labels[SESSION_LABEL]] = str(item["Id"])
        return found

    def _remove_rest(self, step: Step) -> None:
        """Remove the networks, and before them a part that only another JuliaBox knows."""
        one = self._installation
        parts = [str(item["Id"]) for item in one.engine.containers(one.config.name)]
        _side_by_side(lambda id_: one.engine.end_container(id_, _GRACE), parts)
        used = [name for name in sorted(one.network_names) if not one.engine.remove_network(name)]
        step.result = "removed" if not used else f"removed, but {', '.join(used)} is in use"

    def _unmount(self, step: Step) -> None:
        one = self._installation
        resisting = mounts.undo_all(one.state.root)
        if resisting:
            raise UnavailableError(
                "could not undo " + "; ".join(resisting) + ". Find what uses it with "
                "`fuser -vm PATH`, end that, then repeat `juliabox down`",
                code="down.still_mounted",
            )
        with contextlib.suppress(OSError):
            mounts.unshare(one.state.root)
        step.result = "none left"


def _side_by_side(act: Callable[[str], None], names: Iterable[str]) -> None:
    """Act on all; when all have ended, raise what the first that failed raised."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        acts = [threads.submit(act, name) for name in names]
    for one in acts:
        one.result()
