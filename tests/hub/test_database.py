"""The hub's database: its write-ahead log, and what is said while somebody else has it locked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from juliabox_spawner import hub_backup
from support.hub_stand import HubStand
from support.visitor import NAVIGATE, Visitor, add_person


@contextmanager
def locked(stand: HubStand) -> Iterator[None]:
    """Lock the hub's database."""
    database = stand.folder / "hub/jupyterhub.sqlite"
    with closing(sqlite3.connect(database, isolation_level=None, timeout=60)) as link:
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
        before = stand.log.count("Traceback")
        with locked(stand):
            reading = stand.api("GET", "/users/ada")
            answers = [
                stand.api("POST", "/users/ada/tokens", json={"note": "while it is locked"}),
                stand.api("POST", "/users/emmy"),
                visitor.get("/hub/home"),
                visitor.http.get("/hub/spawn", headers=NAVIGATE),
            ]
        # the write-ahead log lets others read; the hub may want to note the caller's activity
        assert reading.status_code in {200, 503}
        assert {answer.status_code for answer in answers} == {503}, [a.text for a in answers]
        assert {answer.headers["Retry-After"] for answer in answers} == {"5"}
        assert all("does not answer at the moment" in answer.text for answer in answers)
        assert all("sqlite" not in answer.text.lower() for answer in answers)
        assert stand.log.count("Traceback") == before
        assert visitor.logged_in()
        assert stand.api("GET", "/users/ada").status_code == 200
        assert stand.api("POST", "/users/emmy").status_code == 201


def test_what_was_written_is_in_the_database_file_itself_soon_after(tmp_path: Path) -> None:
    with HubStand(tmp_path, idle_timeout=0) as stand:
        database = stand.folder / "hub/jupyterhub.sqlite"
        assert database.with_name("jupyterhub.sqlite-wal").exists()
        assert stand.api("POST", "/users/emmy").status_code == 201
        stand.wait_for(lambda: _names_without_log(database) >= {"emmy"})
        assert stand.hub is not None
        assert stand.api("POST", "/users/late").status_code == 201
        stand.kill(stand.hub)
        # a killed hub loses nothing: its log is still there, and the copy that is made has it
        hub_backup.check(database, tmp_path / "backups")
        copy = hub_backup.back_up(database, tmp_path / "copies", interval=0)
        assert copy is not None
        assert _names_without_log(copy) >= {"emmy", "late"}


def _names_without_log(database: Path) -> set[str]:
    """Read a copy of the one file, as a machine finds it that lost its power."""
    copy = database.with_name("copy-without-log.sqlite")
    copy.write_bytes(database.read_bytes())
    with closing(sqlite3.connect(copy)) as link:
        try:
            return {name for (name,) in link.execute("select name from users")}
        except sqlite3.DatabaseError:
            # copied while it was written to
            return set()
