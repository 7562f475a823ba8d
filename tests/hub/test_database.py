"""A hub whose database is locked by somebody else."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from support.hub_stand import HubStand
from support.visitor import NAVIGATE, Visitor, add_person


@contextmanager
def locked(stand: HubStand) -> Iterator[None]:
    """Lock the hub's database."""
    database = stand.folder / "hub/jupyterhub.sqlite"
    with closing(sqlite3.connect(database, isolation_level=None, timeout=10)) as link:
        link.execute("begin exclusive")
        yield
        link.execute("rollback")


def test_a_locked_database_is_told_as_such_to_programs_and_to_people(tmp_path: Path) -> None:
    stand = HubStand(tmp_path, idle_timeout=0)
    soon = "c.JupyterHub.db_kwargs = {'connect_args': {'timeout': 0.2}}\n"
    (tmp_path / "jupyterhub_config.d/10-soon.py").write_text(soon)
    with stand:
        password = add_person(stand, "ada")
        visitor = Visitor(stand)
        visitor.log_in("ada", password)
        begun = len(stand.log)
        with locked(stand):
            answers = [
                stand.api("GET", "/users/ada"),
                stand.api("POST", "/users/ada/tokens", json={"note": "while it is locked"}),
                stand.api("POST", "/users/emmy"),
                visitor.get("/hub/home"),
                visitor.http.get("/hub/spawn", headers=NAVIGATE),
            ]
        assert {answer.status_code for answer in answers} == {503}, [a.text for a in answers]
        assert {answer.headers["Retry-After"] for answer in answers} == {"5"}
        assert all("does not answer at the moment" in answer.text for answer in answers)
        assert all("sqlite" not in answer.text.lower() for answer in answers)
        assert "Traceback" not in stand.log[begun:]
        assert visitor.logged_in()
        assert stand.api("GET", "/users/ada").status_code == 200
        assert stand.api("POST", "/users/emmy").status_code == 201
