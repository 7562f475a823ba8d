"""Network policy of a session or an API container, kept in the network namespace of its container.

The manager enters the namespace by process id and replaces the table ``inet juliabox``; nothing
else there is touched, above all not the rules of Docker's resolver. Sessions have neither
``NET_ADMIN`` nor ``NET_RAW``: they cannot change the table, forge a source address or answer ARP
for another's.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from juliabox_ext.errors import InternalError, NotFoundError, PolicyError, UnavailableError
from juliabox_manager.programs import CommandTimeout, Outcome, run
from juliabox_manager.records import NOUNS, Kind
from juliabox_manager.ruleset import TABLE, Addresses, Surroundings, render
from juliabox_manager.settings import ApiContainers, NetworkSettings
from juliabox_manager.surroundings import EngineHost, attached_networks

_COMMAND_TIMEOUT = 10.0
_LIST = ["nft", "-s", "list", "table", *TABLE.split()]


class NetworkPolicy:
    """Set and verify the policy of containers, each named by the id of a process in it."""

    def __init__(
        self,
        settings: NetworkSettings,
        engine: str = "unix:///var/run/docker.sock",
        api: ApiContainers | None = None,
    ) -> None:
        self._addresses: dict[Kind, Addresses] = {"session": Addresses(settings)}
        if api is not None:
            self._addresses["api"] = Addresses.of_apis(settings, api)
        self._host = EngineHost(engine)
        #: Rulesets as the kernel lists them, by their text: a handful, as containers share them.
        self._listed: dict[str, str] = {}

    async def apply(self, pid: int, kind: Kind = "session") -> None:
        """Replace the policy of a container of a kind in one transaction.

        Raises ``NotFoundError`` if the process has ended, ``PolicyError`` if it is in the host's
        or the manager's own network, or of a kind that this instance does not run,
        ``UnavailableError`` if the kernel refuses the rules.
        """
        with self._inside(pid, kind) as (descriptor, ruleset):
            done = await _run_inside(descriptor, ["nft", "-f", "-"], ruleset)
        if done.code != 0:
            raise UnavailableError(
                f"the network policy of process {pid} was refused by the kernel: "
                f"{done.errors[:300]}; run juliabox doctor"
            )

    async def in_place(self, pid: int, kind: Kind = "session") -> bool:
        """Return whether a container's policy is, rule for rule, what :meth:`apply` would set.

        Compares what the kernel lists with what it lists for the same rules in an empty namespace,
        so a missing, flushed, shortened or outdated table is noticed. Raises as :meth:`apply`.
        """
        with self._inside(pid, kind) as (descriptor, ruleset):
            done = await _run_inside(descriptor, _LIST)
        return done.code == 0 and done.output == await self._expected(ruleset)

    @contextlib.contextmanager
    def _inside(self, pid: int, kind: Kind) -> Iterator[tuple[int, str]]:
        """Open a container's network namespace and render the ruleset that belongs there."""
        addresses = self._addresses.get(kind)
        if addresses is None:
            raise PolicyError(
                f"process {pid} is of {NOUNS[kind]}s, and this instance runs none",
                code="policy.api",
            )
        host = self._host.look()
        with _namespace(pid, host.namespaces) as descriptor:
            found = Surroundings(host.resolvers, attached_networks(pid), host.addresses)
            _still_the_same(pid, descriptor)
            yield descriptor, render(addresses, found)

    async def _expected(self, ruleset: str) -> str:
        """Return how the kernel lists a ruleset, asked once in a namespace made for that."""
        if ruleset not in self._listed:
            script = f"nft -f - && {' '.join(_LIST)}"
            done = await _run(["unshare", "-n", "sh", "-c", script], ruleset)
            if done.code != 0:
                raise InternalError(f"the network policy is no valid ruleset: {done.errors[:300]}")
            if len(self._listed) > 100:
                self._listed.clear()
            self._listed[ruleset] = done.output
        return self._listed[ruleset]


@contextlib.contextmanager
def _namespace(pid: int, forbidden: Iterable[tuple[int, int]]) -> Iterator[int]:
    """Open the network namespace of a process; refuse the host's and our own.

    The open file keeps the namespace: a process id that is used again meanwhile leads nowhere
    else.
    """
    try:
        descriptor = os.open(f"/proc/{int(pid)}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        raise _gone(pid) from None
    except OSError as error:
        message = f"the network of process {pid} cannot be entered: {error.strerror}"
        raise UnavailableError(message) from None
    try:
        inside = os.fstat(descriptor)
        if (inside.st_dev, inside.st_ino) in forbidden:
            raise PolicyError(
                f"process {pid} shares the network of the host or of the manager: "
                "no policy is set there",
                code="policy.namespace",
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _still_the_same(pid: int, descriptor: int) -> None:
    """Raise ``NotFoundError`` unless the process is in the namespace that is open."""
    try:
        same = os.path.samestat(os.fstat(descriptor), Path(f"/proc/{pid}/ns/net").stat())
    except OSError:
        same = False
    if not same:
        raise _gone(pid)


def _gone(pid: int) -> NotFoundError:
    return NotFoundError(f"process {pid} of the session has ended", code="not_found.process")


async def _run_inside(descriptor: int, command: list[str], text: str = "") -> Outcome:
    """Run a command in an open network namespace."""
    enter = ["nsenter", f"--net=/proc/self/fd/{descriptor}", *command]
    return await _run(enter, text, [descriptor])


async def _run(command: list[str], text: str, keep: Sequence[int] = ()) -> Outcome:
    """Run a program; raise ``UnavailableError`` if it does not end."""
    try:
        return await run(command, limit=_COMMAND_TIMEOUT, keep=keep, text=text, apart=True)
    except CommandTimeout as error:
        raise UnavailableError(str(error)) from None
