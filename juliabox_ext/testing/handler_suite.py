"""What every provider of ``juliabox.handler`` does."""

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.auth import Authenticator
from tornado import web

from juliabox_ext.catalog import missing_methods
from juliabox_ext.handler import Handler, JBPluginHandler, Login, PostLogin, TopScript

#: Address of the hub for a log-in's own addresses.
BASE = "/hub/"


class LoginSuite:
    """Derive from it and give the fixture."""

    @pytest.fixture
    def plugin(self) -> Login:
        raise NotImplementedError("return a plugin that was configured")

    @pytest.fixture
    def authenticator(self, plugin: Login) -> Any:
        """Make the authenticator as the hub does, with a database of its own."""
        session = orm.new_session_factory("sqlite:///:memory:")()
        yield plugin.authenticator()(**plugin.traits(), db=session)
        session.close()

    def test_it_provides_a_log_in(self, plugin: Login) -> None:
        kinds = {JBPluginHandler.functionalities[feature] for feature in plugin.provides}
        assert Login in kinds
        assert missing_methods(type(plugin), Login) == []

    def test_the_class_is_an_authenticator_of_jupyterhub(self, plugin: Login) -> None:
        assert issubclass(plugin.authenticator(), Authenticator)
        assert plugin.authenticator() is plugin.authenticator()

    def test_the_traits_are_those_of_the_class(self, plugin: Login) -> None:
        traits = plugin.traits()
        assert set(traits) <= set(plugin.authenticator().class_trait_names())
        assert plugin.traits() == traits

    def test_the_class_takes_the_traits(self, plugin: Login, authenticator: Any) -> None:
        for name, value in plugin.traits().items():
            assert getattr(authenticator, name) == value

    def test_admins_are_named_without_the_plugin(self, plugin: Login) -> None:
        assert all(":" not in name for name in plugin.traits().get("admin_users", ()))

    def test_its_pages_have_paths_of_their_own(self, authenticator: Any) -> None:
        async def handlers() -> list[tuple[str, Any]]:
            found: list[tuple[str, Any]] = authenticator.get_handlers(None)
            return found

        # on an event loop, as in the hub
        for path, handler in asyncio.run(handlers()):
            assert path.startswith("/")
            assert issubclass(handler, web.RequestHandler)

    def test_the_log_in_begins_within_the_hub(self, authenticator: Any) -> None:
        assert authenticator.login_url(BASE).startswith(BASE)

    def test_a_normal_name_stays_as_it_is(self, authenticator: Any) -> None:
        assert authenticator.normalize_username("ada") == "ada"
        assert authenticator.validate_username("ada")


class PostLoginSuite:
    """Derive from it and give the three fixtures."""

    @pytest.fixture
    def plugin(self) -> PostLogin:
        raise NotImplementedError("return a plugin that was configured")

    @pytest.fixture
    def admitted(self) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError("return name and details of somebody who may come in")

    @pytest.fixture
    def refused(self) -> tuple[str, dict[str, Any]]:
        raise NotImplementedError("return name and details of somebody who may not")

    def test_who_may_come_in_hears_nothing(
        self, plugin: PostLogin, admitted: tuple[str, dict[str, Any]]
    ) -> None:
        assert plugin.admit(*admitted) == ""

    def test_who_may_not_hears_a_sentence(
        self, plugin: PostLogin, refused: tuple[str, dict[str, Any]]
    ) -> None:
        reason = plugin.admit(*refused)
        assert reason.endswith(".") and len(reason.splitlines()) == 1

    def test_who_is_known_by_name_alone_gets_an_answer(self, plugin: PostLogin) -> None:
        assert isinstance(plugin.admit("ada", {"login": "native"}), str)

    def test_details_are_left_as_they_are(
        self, plugin: PostLogin, refused: tuple[str, dict[str, Any]]
    ) -> None:
        before = copy.deepcopy(refused)
        plugin.admit(*refused)
        assert refused == before

    def test_many_are_asked_about_at_once(
        self,
        plugin: PostLogin,
        admitted: tuple[str, dict[str, Any]],
        refused: tuple[str, dict[str, Any]],
    ) -> None:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda who: plugin.admit(*who), [admitted, refused] * 8))
        assert [bool(answer) for answer in answers] == [False, True] * 8


class HandlerSuite:
    """Derive from it and give the fixture."""

    @pytest.fixture
    def plugin(self) -> Handler:
        raise NotImplementedError("return a plugin that was configured")

    def test_its_paths_lie_below_its_name(self, plugin: Handler) -> None:
        added: list[str] = []

        class Application(web.Application):
            """Notes what is added."""

            def add_handlers(self, host_pattern: str, host_handlers: Any) -> None:
                added.extend(rule[0] for rule in host_handlers)
                super().add_handlers(host_pattern, host_handlers)

        app = Application(plugin_prefix="/p/", handler_base=web.RequestHandler)
        plugin.register(app)
        assert added
        assert all(path.startswith(f"/p/{plugin.name}/") for path in added)


class TopScriptSuite:
    """Derive from it and give the fixture."""

    @pytest.fixture
    def plugin(self) -> TopScript:
        raise NotImplementedError("return a plugin that was configured")

    def test_the_script_is_a_file(self, plugin: TopScript) -> None:
        path = plugin.script()
        assert isinstance(path, Path) and path.is_file() and path.suffix in (".js", ".mjs")
        assert path.read_text(encoding="utf-8").strip()
