"""JupyterHub's own users and database, in memory, with the spawner on a fake manager."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from jupyterhub import orm, roles
from jupyterhub.auth import DummyAuthenticator
from jupyterhub.oauth.provider import make_provider
from jupyterhub.objects import Hub
from jupyterhub.user import User
from traitlets.config import Config

from juliabox_spawner.spawner import JuliaBoxSpawner
from support.fake_manager import FakeManager
from support.ports import free_port


class World:
    """Users of one hub."""

    def __init__(self, manager: FakeManager) -> None:
        self.manager = manager
        self.config = Config()
        self.config.JuliaBoxSpawner.network_name = "sessions"
        self.config.JuliaBoxSpawner.image = "juliabox/julia"
        self.config.JuliaBoxSpawner.mem_limit = 1024**3
        self.config.JuliaBoxSpawner.http_timeout = 60
        factory = orm.new_session_factory("sqlite:///:memory:")
        self.db = factory()
        for role in roles.get_default_roles():
            roles.create_role(self.db, role)
        self.db.add(orm.OAuthClient(identifier="jupyterhub", secret="", redirect_uri=""))
        self.db.commit()
        self.hub = Hub(proto="http", ip="127.0.0.1", port=8081, base_url="/hub/")
        self.provider = make_provider(
            lambda: self.db, url_prefix="/hub/api/oauth2", login_url="/hub/login"
        )

    def user(self, name: str = "ada", *groups: str) -> User:
        """Return a user, made if needed; a new wrapper as after a restart of the hub."""
        orm_user = orm.User.find(self.db, name)
        if orm_user is None:
            orm_user = orm.User(name=name)
            self.db.add(orm_user)
            for group in groups:
                orm_user.groups.append(orm.Group(name=group))
            self.db.commit()
            roles.assign_default_roles(self.db, entity=orm_user)
        manager = self.manager

        class Spawner(JuliaBoxSpawner):
            def __init__(self, **kwargs: Any) -> None:
                super().__init__(manager=manager, **kwargs)

        return User(
            orm_user,
            {
                "spawner_class": Spawner,
                "hub": self.hub,
                "config": self.config,
                "authenticator": DummyAuthenticator(),
                "oauth_provider": self.provider,
                "internal_ssl": False,
                "allow_named_servers": True,
                "base_url": "/",
            },
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    manager = FakeManager(free_port())
    yield World(manager)
    JuliaBoxSpawner._feeds.clear()
    JuliaBoxSpawner._queues.clear()
    await manager.close()


@pytest.fixture
def spawner(world: World) -> Callable[..., JuliaBoxSpawner]:
    """Return a maker of spawners that are not started."""

    def make(name: str = "ada", *groups: str, server: str = "", **traits: Any) -> JuliaBoxSpawner:
        for trait, value in traits.items():
            setattr(world.config.JuliaBoxSpawner, trait, value)
        found: JuliaBoxSpawner = world.user(name, *groups).get_or_create_spawner(server, server)
        return found

    return make
