"""A change of what is published: what is written, who may make it, what is deleted with it."""

from __future__ import annotations

from dataclasses import dataclass

from juliabox_ext.errors import PolicyError
from juliabox_services.api.models import Api
from juliabox_services.api.people import differ
from juliabox_services.api.tables import Tables


@dataclass(frozen=True)
class Change:
    """What is to be written of an API, and how the audit tells of it."""

    entry: Api
    what: str
    who: str
    version: int
    detail: str = ""
    removed: bool = False


def of_somebody_removed(publisher: str, api: str) -> PolicyError:
    """Return the error of who has the name of a publisher who was removed."""
    return PolicyError(
        f"{publisher}/{api} is of somebody who had your name and was removed. An admin can "
        "remove it, or start it if it is yours",
        code="api.owner",
    )


def demand_same(api: Api, account: str) -> None:
    """Raise ``PolicyError`` (``api.owner``) for the account of another person than its publisher's.

    An account that is not known is nobody else's.
    """
    if differ(api.account, account):
        raise of_somebody_removed(api.publisher, api.api)


def demand_not_stopped(api: Api, admin: bool, verb: str) -> None:
    """Raise ``PolicyError`` (``api.stopped_by_admin``) for an owner whose API an admin stopped."""
    if api.stopped not in {"", "owner"} and not admin:
        raise PolicyError(
            f"An admin stopped {api.publisher}/{api.api}, so an admin must {verb} it",
            code="api.stopped_by_admin",
        )


def drop_all(tables: Tables, publisher: str, api: str) -> None:
    """Delete all versions of an API."""
    tables.drop_versions(publisher, api, [one.version for one in tables.versions(publisher, api)])


def drop_old(tables: Tables, api: Api, keep: int) -> None:
    """Delete versions behind the newest ``keep``, and those of a removed API of this name."""
    found = tables.versions(api.publisher, api.api)
    old = [*found[keep:], *(one for one in found[:keep] if one.saved < api.created)]
    numbers = [one.version for one in old if one.version != api.active]
    tables.drop_versions(api.publisher, api.api, numbers)
