"""Roles that people have beside user and admin; imports nothing, since the command line asks."""

from __future__ import annotations

#: The role of who publishes functions.
PUBLISHERS = "api-publisher"
#: What a person may be, beside a user and an admin: role -> what it is for and its scopes. Members
#: of the group of the same name have it.
PEOPLE_ROLES: dict[str, tuple[str, list[str]]] = {
    "statistics": (
        "See who used the service, and how much",
        ["custom:juliabox:statistics", "list:users", "read:users:activity"],
    ),
    "containers": (
        "See all sessions, and stop them",
        [
            "custom:juliabox:containers",
            "list:users",
            "read:users:activity",
            "read:servers",
            "delete:servers",
        ],
    ),
    PUBLISHERS: ("Publish functions as APIs", ["custom:juliabox:publish"]),
}
#: Scopes that services of JuliaBox look at.
CUSTOM_SCOPES = {
    "custom:juliabox:statistics": {"description": "See usage of the service."},
    "custom:juliabox:containers": {"description": "See sessions of all people."},
    "custom:juliabox:publish": {"description": "Publish APIs."},
    # with a filter it is of one API: custom:juliabox:call!server=PUBLISHER/API
    "custom:juliabox:call": {"description": "Call APIs."},
}
