"""No cloud plugin brings AWS's library in before it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = """
import sys
from pathlib import Path
from juliabox_ext import catalog
from juliabox_ext.plugin import PluginContext

SETTINGS = {
    "route53": {"zone": "Z1", "domain": "example.org"},
    "ses": {"sender": "a@example.org"},
    "smtp": {"sender": "a@example.org", "host": "mail.example.org"},
}
for info in catalog.available(["juliabox.cloud"]):
    if info.built_in:
        loaded = catalog.load_class(info)
        settings = loaded.Settings.model_validate(SETTINGS.get(info.name, {}))
        plugin = loaded(PluginContext(info.name, settings, folder=Path(sys.argv[1])))
        plugin.configure()
        plugin.close()
        found = {name.partition(".")[0] for name in sys.modules}
        assert not found & {"boto3", "botocore", "s3transfer"}, (info.name, found)
        print(info.name)
"""


def test_plugins_are_loaded_and_configured_without_the_library(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        "ec2", "localdir", "none", "route53", "s3", "ses", "singlenode", "smtp",
    ]  # fmt: skip
