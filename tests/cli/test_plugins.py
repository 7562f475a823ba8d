"""Which plugins an installation uses, what each part is told, and what may be shown."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from click.testing import CliRunner

from juliabox_cli import config_file, plugin_sources
from juliabox_cli.addresses import Addresses
from juliabox_cli.config import Config
from juliabox_cli.images import Images
from juliabox_cli.main import cli
from juliabox_cli.plugin_choice import Choice, choose
from juliabox_cli.plugin_probe import Probed, Settings, probe
from juliabox_cli.rendering import render
from juliabox_cli.state import State
from juliabox_ext import catalog
from juliabox_ext.catalog import PluginInfo
from juliabox_ext.errors import ConfigurationError, PluginError
from juliabox_ext.loads import LOADS
from juliabox_ext.plugin import GROUPS
from juliabox_ext.registry import PATIENCE
from support.strangers import MAIL, MAIL_ENTRY, Site, site

PAGE = """
    from juliabox_ext import JBPluginHandler
    class Page(JBPluginHandler):
        provides = [JBPluginHandler.JBP_HANDLER]
        def register(self, app): pass
"""


@pytest.fixture
def strangers(tmp_path: Path) -> Iterator[Site]:
    folder = tmp_path / "site"
    folder.mkdir()
    with site(folder) as made:
        yield made


def config(text: str) -> Config:
    return config_file.check(Path("config.yaml"), text)


KNOWN: dict[PluginInfo, Probed] = {}


def hasty(infos: Sequence[PluginInfo], settings: Settings) -> list[Probed]:
    """Probe as `up` does, with less patience for strangers: only for one that hangs."""
    return examine(infos, settings, patience=8.0)


def examine(
    infos: Sequence[PluginInfo], settings: Settings, *, patience: float = PATIENCE
) -> list[Probed]:
    """Probe as `up` does: the built-in ones once for all tests."""
    strangers = [one for one in infos if not one.built_in]
    fresh = [one for one in infos if one.built_in and (one not in KNOWN or one.name in settings)]
    found = dict(zip(strangers, probe(strangers, settings, patience=patience), strict=True))
    known = dict(zip(fresh, probe(fresh, settings), strict=True))
    KNOWN.update({info: one for info, one in known.items() if info.name not in settings})
    return [found.get(info) or known.get(info) or KNOWN[info] for info in infos]


def names(choice: Choice) -> set[str]:
    return {plugin.name for plugin in choice.plugins}


def test_the_usual_plugins_work_as_they_come() -> None:
    choice = choose(config(""), examine)
    assert choice.faults == ()
    assert "rdbms" in choice.features["db"]


def test_what_is_enabled_comes_before_the_usual_and_what_is_disabled_is_gone(
    strangers: Site,
) -> None:
    strangers.add("stranger-mail", MAIL, MAIL_ENTRY)
    choice = choose(config("plugins: {enable: [stranger], disable: [rdbms]}"), examine)
    assert next(iter(choice.plugins)).name == "stranger"
    assert "rdbms" not in names(choice)


@pytest.mark.parametrize(
    ("code", "fault", "said"),
    [
        ("import no_such_module_", "plugin.import", "No module named"),
        ("import os; os._exit(7)", "plugin.import", "ended the process"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "plugin.import", "ended"),
        ("import threading; threading.Event().wait(60)", "plugin.hangs", "within 8 s"),
        ("print('{\"end\": 0}', flush=True); 1 / 0", "plugin.import", "ZeroDivisionError"),
    ],
    ids=["does-not-import", "ends-the-process", "crashes", "hangs", "prints-an-answer"],
)
def test_a_plugin_that_harms_its_process_is_left_out_and_those_after_it_are_examined(
    code: str, fault: str, said: str, strangers: Site
) -> None:
    strangers.add("stranger-mail", code, MAIL_ENTRY)
    probing = hasty if fault == "plugin.hangs" else examine
    choice = choose(config("plugins: {enable: [stranger]}"), probing)
    (only,) = choice.faults
    assert (only.plugin, only.distribution, only.code) == ("stranger", "stranger-mail", fault)
    assert "plugin stranger (juliabox.cloud, stranger-mail 1.0)" in only.message
    assert said in only.message
    assert "rdbms" in names(choice)


def test_a_required_plugin_that_does_not_work_stops_up(strangers: Site) -> None:
    strangers.add("stranger-mail", "import no_such_module_", MAIL_ENTRY)
    choice = choose(config("plugins: {enable: [stranger], required: [stranger]}"), examine)
    with pytest.raises(PluginError, match=r"stranger-mail 1\.0.*plugins\.required"):
        choice.refuse_without_required()


def test_what_requires_a_plugin_at_fault_is_left_out_too(strangers: Site) -> None:
    dns = MAIL.replace("JBP_SENDMAIL]", "JBP_SENDMAIL]\n        requires = ['cloud.dns.route53']")
    strangers.add("stranger-mail", dns, MAIL_ENTRY)
    choice = choose(config("plugins: {enable: [stranger], disable: [route53]}"), examine)
    assert [(one.plugin, one.code) for one in choice.faults] == [("stranger", "plugin.absent")]
    assert "cloud.dns.route53" in choice.faults[0].message


def test_what_a_plugin_requires_is_enabled_with_it(strangers: Site) -> None:
    code = MAIL.replace("JBP_SENDMAIL]", "JBP_DNS]\n        requires = ['cloud.sendmail']").replace(
        "def get_email_rates", "def domain(self): pass\n        add_cname = delete_cname = domain\n"
        "        def get_email_rates"
    )  # fmt: skip
    strangers.add("stranger-dns", code, MAIL_ENTRY)
    settings = "settings: {smtp: {host: localhost, sender: a@example.org}}"
    plugins = f"{{enable: [stranger], disable: [none, ses], {settings}}}"
    choice = choose(config(f"plugins: {plugins}"), examine)
    assert choice.faults == ()
    assert {"stranger", "smtp"} <= names(choice)


def test_the_second_of_two_providers_of_what_is_used_once_is_left_out(strangers: Site) -> None:
    strangers.add("stranger-mail", MAIL, MAIL_ENTRY)
    strangers.add("other-mail", MAIL, {"juliabox.cloud": "other = Mail"})
    choice = choose(config("plugins: {enable: [other, stranger]}"), examine)
    assert [(one.plugin, one.code) for one in choice.faults] == [("stranger", "plugin.ambiguous")]
    assert choice.features["cloud.sendmail"] == ["other"]


@pytest.mark.parametrize("part", LOADS)
def test_a_part_is_told_plugins_and_settings_of_its_own_groups_alone(
    part: str, strangers: Site
) -> None:
    strangers.add("stranger-mail", MAIL, MAIL_ENTRY)
    strangers.add("stranger-page", PAGE, {"juliabox.handler": "page = Page"})
    given = config("plugins: {enable: [stranger, page], settings: {stranger: {password: p}}}")
    choice = choose(given, examine)
    selection = choice.selection(part, given.plugins.settings)
    assert ("stranger" in selection.enabled) == (part == "hub")
    assert ("page" in selection.enabled) == (part == "portal")
    assert selection.settings == ({"stranger": {"password": "p"}} if part == "hub" else {})
    assert selection.features["cloud.sendmail"] == ["stranger"]
    wanted = set(catalog.groups_of(LOADS[part]))
    for one in choice.loaded_by(part):
        assert one.info.group in wanted


def test_no_database_loads_in_the_manager_or_the_hub_and_no_volume_outside_the_manager() -> None:
    by_group = {g: {p for p in LOADS if g in catalog.groups_of(LOADS[p])} for g in GROUPS}
    assert by_group["juliabox.db"] == {"portal", "api"}
    assert by_group["juliabox.volume"] == by_group["juliabox.task"] == {"manager"}
    assert by_group["juliabox.handler"] == by_group["juliabox.ui"] == {"hub", "portal"}


def digests(state: State) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in state.compose_env.read_text().splitlines())
    return {name: value for name, value in pairs if name.endswith(("_DIGEST", "_IMAGE"))}


def rendered(state: State, text: str) -> dict[str, str]:
    given = config(text)
    addresses = Addresses(IPv4Network("10.64.16.0/20"))
    render(given, state, addresses, Images("c", {}), "/docker.sock", choice=choose(given, examine))
    return digests(state)


def test_a_new_plugin_concerns_only_the_parts_that_load_it_and_all_see_its_feature(
    state: State, strangers: Site
) -> None:
    before = rendered(state, "")
    strangers.add("stranger-page", PAGE, {"juliabox.handler": "page = Page"})
    after = rendered(state, "plugins: {enable: [page]}")
    # the portal shows an admin the configuration, and it loads the page
    assert {name for name in after if after[name] != before[name]} == {"JULIABOX_PORTAL_DIGEST"}
    features = json.loads((state.features / "features.json").read_text())
    assert "page" in features["handler"]


def test_settings_of_plugins_are_readable_by_their_part_alone(state: State) -> None:
    rendered(state, "")
    for part, owner in (("manager", 0), ("hub", 900), ("portal", 900)):
        status = (state.run / f"{part}.json").stat()
        assert (status.st_mode & 0o777, status.st_uid) == (0o600, owner)


SECRET = "plugins: {enable: [stranger], settings: {stranger: {host: h, password: geheim}}}\n"


@pytest.mark.parametrize("key", ["", "plugins", "plugins.settings.stranger.password"])
def test_secrets_of_plugins_are_never_shown(key: str, state: State, strangers: Site) -> None:
    strangers.add("stranger-mail", MAIL, MAIL_ENTRY)
    state.config.write_text(SECRET)
    shown = CliRunner().invoke(cli, ["config", "show", *([key] if key else [])]).output
    assert "geheim" not in shown and "(hidden)" in shown
    assert "geheim" not in CliRunner().invoke(cli, ["plugin", "info", "stranger"]).output
    rendered(state, SECRET)
    document = json.loads((state.run / "portal.json").read_text())
    assert "geheim" not in json.dumps(document["configuration"])


def test_the_password_in_an_address_is_never_shown(state: State) -> None:
    source = "greet @ https://ci:geheim@packages.example/greet-1.0-py3-none-any.whl"
    registry = "https://u:geheim@images.example"
    state.config.write_text(
        f'images: {{registry: "{registry}"}}\nplugins: {{install: ["{source}"]}}\n'
    )
    shown = CliRunner().invoke(cli, ["config", "show"]).output
    assert "packages.example" in shown and "images.example" in shown
    assert "geheim" not in shown and "://(hidden)@" in shown


def test_all_settings_of_a_plugin_that_cannot_be_asked_are_hidden(state: State) -> None:
    state.config.write_text("plugins: {settings: {gone: {host: h, inner: [{key: geheim}]}}}\n")
    shown = CliRunner().invoke(cli, ["config", "show", "plugins"]).output
    assert "geheim" not in shown and "host: (hidden)" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ["plugins.settings.stranger", "geheim"],
        ["plugins.settings.stranger.password", "{geheim"],
    ],
    ids=["no-mapping", "no-yaml"],
)
def test_a_refused_setting_of_a_plugin_is_not_repeated(arguments: list[str], state: State) -> None:
    state.config.write_text("")
    refused = CliRunner().invoke(cli, ["config", "set", *arguments])
    assert refused.exit_code == 1
    assert "geheim" not in refused.output


def test_list_imports_nothing_and_tells_what_is_enabled(state: State, strangers: Site) -> None:
    strangers.add("stranger-mail", "raise RuntimeError", MAIL_ENTRY)
    state.config.write_text("plugins: {enable: [stranger]}\n")
    code = (
        "import sys\nfrom juliabox_cli.main import cli\n"
        "cli(['plugin', 'list', '--json'], standalone_mode=False)\n"
        "assert not {'stranger_mail', 'boto3', 'sqlalchemy'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["stranger"]["enabled"] and not rows["stranger"]["built_in"]
    assert rows["rdbms"]["enabled"] and not rows["smtp"]["enabled"]


def test_check_tells_faults_and_ends_with_one(state: State, strangers: Site) -> None:
    strangers.add("stranger-mail", "import no_such_module_", MAIL_ENTRY)
    state.config.write_text("plugins: {enable: [stranger]}\n")
    checked = CliRunner().invoke(cli, ["plugin", "check"])
    assert checked.exit_code == 1
    assert "FAIL plugin stranger (juliabox.cloud, stranger-mail 1.0)" in checked.output
    assert "ok   plugin rdbms" in checked.output
    assert CliRunner().invoke(cli, ["plugin", "check", "rdbms"]).exit_code == 0


def test_info_of_a_plugin_that_is_not_installed_names_those_that_are(state: State) -> None:
    state.config.write_text("")
    told = CliRunner().invoke(cli, ["plugin", "info", "nobody"])
    assert told.exit_code == 1
    assert "nobody" in told.output and "rdbms" in told.output


@pytest.mark.parametrize(
    "text",
    [
        "--index-url=x",
        "name version",
        "-r file",
        "name.whl",
        "a b.whl",
        "name==1; import os",
    ],
)
def test_what_is_no_requirement_and_no_wheel_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"plugins\.install"):
        config(f"plugins: {{install: [{json.dumps(text)}]}}")


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("Some_Thing", "Some_Thing==1.2"),
        ("some-thing[x]>=1", "some-thing[x]==1.2"),
        ("some-thing==1.2", "some-thing==1.2"),
        ("some-thing==1.*", "some-thing==1.2"),
    ],
)
def test_a_requirement_is_kept_with_the_version_that_was_installed(text: str, pinned: str) -> None:
    source = plugin_sources.parse(text)
    assert source.distribution == "some-thing"
    assert plugin_sources.pinned(source, "1.2").text == pinned


def test_a_wheel_is_copied_with_its_digest_and_a_changed_one_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "name-1.0-py3-none-any.whl"
    wheel.write_bytes(b"content")
    folder = tmp_path / "kept"
    folder.mkdir()
    source = plugin_sources.adopt(folder, str(wheel))
    assert source.text.startswith("name-1.0-py3-none-any.whl#sha256=")
    kept = plugin_sources.wheel_path(folder, source)
    assert kept.stat().st_mode & 0o777 == 0o600
    kept.write_bytes(b"other content")
    with pytest.raises(ConfigurationError, match="was changed"):
        plugin_sources.wheel_path(folder, source)
