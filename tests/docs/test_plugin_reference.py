"""The tables of plugins are made from the code, and have all of the reference architecture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support import plugin_tables
from support.documentation import Page, Row, code

DATABASE = (
    "configure table_open record_create record_fetch record_scan record_query record_count "
    "record_save record_delete"
)
VOLUME = (
    "configure get_disk_for_user get_disk_from_container is_mount_path refresh_disk_use_status "
    "disk_ids_used_pct refresh_user_home_image release"
)
BUCKETS = "push pull delete copy move"
DNS = "configure domain add_cname delete_cname"
MAIL = "configure get_email_rates send_email"
COMPUTE = (
    "configure get_install_id get_instance_id get_alias_hostname get_all_instances "
    "get_instance_public_hostname get_instance_local_hostname get_instance_public_ip "
    "get_instance_local_ip publish_stats get_instance_stats get_cluster_stats "
    "get_cluster_average_stats terminate_instance can_terminate should_accept_session "
    "get_redirect_instance_id get_image_recentness"
)
#: Functionality -> its methods and attributes, copied from the reference architecture.
REFERENCE = {
    "JBPluginDB": {
        "JBP_DB": DATABASE,
        "JBP_DB_DYNAMODB": DATABASE,
        "JBP_DB_RDBMS": DATABASE,
        "JBP_TABLE": "TABLE SCHEMA INDEXES KEYS ATTRIBUTES",
        "JBP_TABLE_DYNAMODB": "TABLE SCHEMA INDEXES",
        "JBP_TABLE_RDBMS": "TABLE KEYS ATTRIBUTES",
        "JBP_USAGE_ACCOUNTING": "record_session_time get_stats",
    },
    "JBPluginHandler": {
        "JBP_HANDLER": "register",
        # JupyterHub owns the log-in: see "Departures" on the page
        "JBP_HANDLER_AUTH": "authenticator",
        "JBP_HANDLER_AUTH_ZERO": "authenticator",
        "JBP_HANDLER_AUTH_GOOGLE": "authenticator",
        "JBP_JS_TOP": "script",
    },
    "JBPluginUI": {
        "JBP_UI_SESSION_HEAD": "get_template",
        "JBP_UI_AUTH_BTN": "get_template",
        "JBP_UI_CONFIG_SECTION": "get_template",
    },
    "JBoxVol": {
        "JBP_USERHOME": VOLUME,
        "JBP_USERHOME_EBS": VOLUME,
        "JBP_USERHOME_LOCAL": VOLUME,
        "JBP_DATA": VOLUME,
        "JBP_DATA_EBS": VOLUME,
        "JBP_PKGBUNDLE": VOLUME,
    },
    "JBPluginCloud": {
        "JBP_BUCKETSTORE": BUCKETS,
        "JBP_BUCKETSTORE_S3": BUCKETS,
        "JBP_DNS": DNS,
        "JBP_DNS_ROUTE53": DNS,
        "JBP_SENDMAIL": MAIL,
        "JBP_SENDMAIL_SES": MAIL,
        "JBP_COMPUTE": COMPUTE,
        "JBP_COMPUTE_EC2": COMPUTE,
        "JBP_COMPUTE_SINGLENODE": COMPUTE,
    },
    "JBPluginTask": {
        "JBP_CMD_ASYNC": "do_task",
        "JBP_NODE": "do_periodic_task",
        "JBP_CLUSTER": "do_periodic_task",
    },
}
NO_PLUGIN = {"JBP_USERHOME_EBS", "JBP_DATA", "JBP_DATA_EBS", "JBP_PKGBUNDLE"}
ROWS = [(point, name) for point, listed in REFERENCE.items() for name in listed]


def rows_of(page: Page, mount_point: str) -> tuple[dict[str, Row], dict[str, list[str]]]:
    """Return the rows of functionalities, and the methods of each class."""
    rows = page.section(mount_point).rows()
    features = {code(row["functionality"])[0]: row for row in rows if "functionality" in row}
    methods = {
        code(row["class"])[0]: [one.partition("(")[0] for one in code(list(row.values())[1])]
        for row in rows
        if "functionality" not in row
    }
    return features, methods


def test_the_tables_are_those_that_the_code_makes(reference: Callable[[str], Page]) -> None:
    text = reference("plugins").text
    assert text == plugin_tables.written(text), "run `python tests/support/plugin_tables.py`"


@pytest.mark.parametrize(("mount_point", "name"), ROWS, ids=lambda value: value)
def test_each_functionality_of_the_reference_has_its_methods_and_a_plugin(
    mount_point: str, name: str, reference: Callable[[str], Page]
) -> None:
    features, methods = rows_of(reference("plugins"), mount_point)
    row = features[name]
    assert all(cell.strip() for cell in row.values())
    assert name in NO_PLUGIN or row["built in"] != plugin_tables.NONE
    have = methods[code(row["class"])[0]]
    assert set(REFERENCE[mount_point][name].split()) <= set(have)


def test_no_other_row_of_the_tables_is_empty(reference: Callable[[str], Page]) -> None:
    for mount_point in REFERENCE:
        features, methods = rows_of(reference("plugins"), mount_point)
        assert all(cell for row in features.values() for cell in row.values())
        assert all(methods.values())


def test_each_suite_and_fake_is_told(root: Path, reference: Callable[[str], Page]) -> None:
    there = {path.stem for path in (root / "juliabox_ext" / "testing").glob("*_*.py")}
    told = set(code(reference("plugins").section("Contract suites").text))
    assert told - {"juliabox_ext.testing"} == there - {"__init__"}
