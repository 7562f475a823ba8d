"""Plugins that are at fault: each is told by name and distribution, and the rest works."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from juliabox_ext import JBPluginCloud, catalog, get_pluggedin_features
from juliabox_ext.errors import PluginError
from juliabox_ext.plugin import PluginContext
from juliabox_ext.registry import FEATURES_FILE, Registry
from juliabox_ext.selection import PluginSelection
from support.strangers import MAIL, MAIL_ENTRY, Site

MAIL_FEATURE = JBPluginCloud.JBP_SENDMAIL
#: Name, wrong code of a mail plugin, the fault's code, and what the message says.
FAULTS = {
    "does-not-import": ("import no_such_module_", "plugin.import", "No module named"),
    "exits-at-import": ("raise SystemExit(3)", "plugin.import", "SystemExit"),
    "has-no-class": ("", "plugin.import", "Mail"),
    "lacks-a-method": (
        "from juliabox_ext import JBPluginCloud\n"
        "class Mail(JBPluginCloud):\n"
        "    provides = [JBPluginCloud.JBP_SENDMAIL]\n"
        "    def get_email_rates(self): return 1, 1.0\n",
        "plugin.contract",
        "lacks what SendMail demands: send_email",
    ),
    "of-another-mount-point": (
        "from juliabox_ext import JBPluginUI\n"
        "class Mail(JBPluginUI):\n"
        "    provides = ['cloud.sendmail']\n",
        "plugin.contract",
        "no subclass of JBPluginCloud",
    ),
    "provides-nothing": (
        "from juliabox_ext import JBPluginCloud\nclass Mail(JBPluginCloud): pass\n",
        "plugin.contract",
        "provides must list features",
    ),
    "unknown-feature": (
        "from juliabox_ext import JBPluginCloud\n"
        "class Mail(JBPluginCloud):\n"
        "    provides = ['cloud.sendmial']\n",
        "plugin.feature",
        "'cloud.sendmial'; JBPluginCloud has cloud.bucketstore",
    ),
    "hangs-at-import": (
        "import threading\nthreading.Event().wait(20)\n",
        "plugin.hangs",
        "not ready within 4 s",
    ),
    "hangs-at-configure": (
        MAIL + "\n        def configure(self): __import__('threading').Event().wait(20)\n",
        "plugin.hangs",
        "not ready within 4 s",
    ),
    "raises-at-configure": (
        MAIL + "\n        def configure(self): 1 / 0\n",
        "plugin.failed",
        "ZeroDivisionError",
    ),
    "refuses-at-configure": (
        MAIL
        + "\n        def configure(self):\n"
        + "            from juliabox_ext.errors import ConfigurationError\n"
        + "            raise ConfigurationError('no such folder', code='configuration.mine')\n",
        "configuration.mine",
        "no such folder",
    ),
    "requires-an-absent-one": (
        MAIL + "\n        requires = ['cloud.dns']\n",
        "plugin.absent",
        "no enabled plugin provides cloud.dns",
    ),
}


@pytest.fixture(autouse=True)
def _well(strangers: Site) -> None:
    """Install another one that works."""
    strangers.add("well-mail", MAIL, {"juliabox.cloud": "well = Mail"})


def registry(*names: str, patience: float = 60.0, **given: Any) -> Registry:
    selection = PluginSelection(enabled=list(names), **given)
    return Registry(selection, [MAIL_FEATURE], PluginContext(""), patience=patience)


@pytest.mark.parametrize("case", FAULTS)
def test_a_plugin_at_fault_is_told_by_name_and_distribution_and_the_rest_works(
    case: str, strangers: Site
) -> None:
    code, expected, said = FAULTS[case]
    # a module of its own: the one that hangs stays locked
    module = f"stranger_{case.replace('-', '_')}"
    strangers.add("stranger-mail", code, MAIL_ENTRY, version="2.5", module=module)
    # only a hang is waited for; what takes its time on a busy machine is not at fault
    patience = 4.0 if expected == "plugin.hangs" else 60.0
    plugins = registry("stranger", "well", patience=patience)
    plugins.load()
    (fault,) = plugins.faults
    assert (fault.plugin, fault.distribution, fault.code) == ("stranger", "stranger-mail", expected)
    assert "plugin stranger (juliabox.cloud, stranger-mail 2.5)" in fault.message
    assert said in fault.message
    assert "Traceback" not in fault.message
    assert [one.name for one in plugins.all(MAIL_FEATURE)] == ["well"]
    plugins.close()


def test_wrong_settings_are_told_by_key_and_never_shown(strangers: Site) -> None:
    strangers.add("stranger-mail", MAIL, MAIL_ENTRY)
    plugins = registry(
        "stranger", "well", settings={"stranger": {"hsot": "x", "password": ["geheim"]}}
    )
    plugins.load()
    (fault,) = plugins.faults
    assert fault.code == "plugin.settings"
    assert "plugins.settings.stranger" in fault.message
    assert "hsot" in fault.message and "password" in fault.message
    assert "geheim" not in fault.message
    assert plugins.one(MAIL_FEATURE).name == "well"


def test_a_name_that_two_distributions_claim_is_refused_and_both_are_named(
    strangers: Site,
) -> None:
    strangers.add("stranger-mail", MAIL, MAIL_ENTRY)
    strangers.add("other-mail", MAIL, MAIL_ENTRY)
    plugins = registry("stranger", "well")
    plugins.load()
    (fault,) = plugins.faults
    assert fault.code == "plugin.duplicate"
    assert "other-mail" in fault.message and "stranger-mail" in fault.message
    assert [one.name for one in plugins.all(MAIL_FEATURE)] == ["well"]


def test_a_name_that_is_not_installed_is_told_with_those_that_are(strangers: Site) -> None:
    plugins = registry("nobody", "well")
    plugins.load()
    (fault,) = plugins.faults
    assert fault.code == "plugin.unknown"
    assert "nobody" in fault.message and "well" in fault.message


def test_a_required_plugin_at_fault_stops_the_part_and_names_the_cause(strangers: Site) -> None:
    strangers.add("stranger-mail", "import no_such_module_", MAIL_ENTRY)
    with pytest.raises(PluginError, match=r"stranger-mail 1\.0.*no_such_module_.*required"):
        registry("stranger", "well", required=["stranger"]).load()


def test_a_plugin_of_another_mount_point_is_not_imported(strangers: Site) -> None:
    module = strangers.add("stranger-db", "raise RuntimeError", {"juliabox.db": "stranger = Db"})
    plugins = registry("stranger", "well")
    plugins.load()
    assert plugins.faults == []
    assert module not in sys.modules


def test_listing_imports_nothing(strangers: Site) -> None:
    module = strangers.add("stranger-mail", "raise RuntimeError", MAIL_ENTRY)
    found = [info for info in catalog.available() if info.name == "stranger"]
    assert [(one.distribution, one.built_in) for one in found] == [("stranger-mail", False)]
    assert module not in sys.modules


def test_an_absent_feature_is_told_with_what_there_is() -> None:
    plugins = registry("well")
    plugins.load()
    with pytest.raises(PluginError, match=r"cloud\.dns; this process has cloud\.sendmail"):
        plugins.one("cloud.dns")


def test_two_of_the_operators_own_providers_are_ambiguous(strangers: Site) -> None:
    strangers.add("stranger-mail", MAIL, MAIL_ENTRY)
    plugins = registry("stranger", "well")
    plugins.load()
    with pytest.raises(PluginError, match="stranger and well both provide"):
        plugins.one(MAIL_FEATURE)


def test_a_plugin_that_fails_to_close_keeps_no_other_from_closing(
    strangers: Site, tmp_path: Path
) -> None:
    mark = tmp_path / "closed"
    close = f"\n        def close(self): open({str(mark)!r}, 'w').close()\n"
    strangers.add("first-mail", MAIL + close, {"juliabox.cloud": "first = Mail"})
    broken = MAIL + "\n        def close(self): 1 / 0\n"
    strangers.add("stranger-mail", broken, MAIL_ENTRY)
    plugins = registry("first", "stranger")
    plugins.load()
    plugins.close()
    assert mark.exists()
    assert plugins.all(MAIL_FEATURE) == []


def test_the_features_are_those_of_the_whole_installation() -> None:
    features = {"db": ["rdbms"], MAIL_FEATURE: ["well"]}
    plugins = registry("well", features=features)
    plugins.load()
    assert get_pluggedin_features() == features
    get_pluggedin_features()["db"].append("spoilt")
    assert get_pluggedin_features() == features


def test_a_running_part_sees_features_that_came_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = registry("well", features={"db": ["rdbms"]})
    plugins.load()
    monkeypatch.setenv("JULIABOX_FEATURES", str(tmp_path))
    (tmp_path / FEATURES_FILE).write_text(json.dumps({"vol.data": ["big"]}))
    assert get_pluggedin_features() == {"vol.data": ["big"]}


def test_plugins_are_configured_in_threads_and_made_once(strangers: Site, tmp_path: Path) -> None:
    code = MAIL + (
        "\n        def configure(self): self.where = __import__('threading').current_thread()\n"
    )
    strangers.add("stranger-mail", code, MAIL_ENTRY)
    plugins = registry("stranger")
    plugins.load()
    one = plugins.one(MAIL_FEATURE)
    assert one.where is not threading.main_thread()
    assert one is plugins.one(MAIL_FEATURE)
    assert plugins.info(one).distribution == "stranger-mail"


@pytest.mark.parametrize(
    ("wanted", "feature", "covered"),
    [
        ("vol", "vol.home.local", True),
        ("db", "db.rdbms", True),
        ("db", "db.table", False),
        ("handler", "handler", True),
        ("handler", "handler.auth.github", False),
        ("handler.auth", "handler.auth.github", True),
        ("cloud.dns", "cloud.dns.route53", True),
        ("cloud.dns", "cloud.dnsmasq", False),
    ],
)
def test_a_feature_covers_its_variants_and_no_other_kind(
    wanted: str, feature: str, covered: bool
) -> None:
    assert catalog.covers(wanted, feature) is covered
