"""What is there is not built again, and an edit rebuilds one layer."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import docker
import pytest

from juliabox_cli.image_build import BuildOptions, ensure_images, image_tags
from juliabox_cli.image_builder import Builder
from juliabox_cli.image_source import Sources
from juliabox_ext.errors import UnavailableError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.engine
def test_a_second_call_builds_nothing(
    engine: docker.DockerClient,
    images: dict[str, str],
    snapshot: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was built")

    monkeypatch.setattr(engine.api, "build", refuse)
    seen: list[float] = []
    again = ensure_images(snapshot, engine=engine, progress=lambda _, part: seen.append(part))
    assert again == images
    assert seen == [1.0]


@pytest.mark.engine
def test_an_edit_of_the_spawner_replaces_only_the_last_layer_of_control(
    engine: docker.DockerClient, images: dict[str, str], snapshot: Path, tmp_path: Path
) -> None:
    shutil.copytree(snapshot, tmp_path / "checkout")
    edited = tmp_path / "checkout/spawner/juliabox_spawner/__init__.py"
    edited.write_text(edited.read_text() + f"\nEDITED = {time.time_ns()}\n")
    fractions: list[float] = []
    result = ensure_images(
        tmp_path / "checkout", engine=engine, progress=lambda _, part: fractions.append(part)
    )
    try:
        assert {name for name in images if images[name] != result[name]} == {"control"}
        before = engine.images.get(images["control"]).attrs["RootFS"]["Layers"]
        after = engine.images.get(result["control"]).attrs["RootFS"]["Layers"]
        assert before[:-1] == after[:-1]
        assert before[-1] != after[-1]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
    finally:
        engine.images.remove(image_tags(tmp_path / "checkout")["control"])


class Words:
    """An engine whose builder says the given lines."""

    def __init__(self, *lines: dict[str, str]) -> None:
        self.api = self
        self.lines = lines

    def build(self, **_: object) -> list[dict[str, str]]:
        return list(self.lines)


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("write /x: no space left on device", "disk is full"),
        ("curl: (6) Could not resolve host", "JULIABOX_APT_MIRROR"),
        ("SSL: CERTIFICATE_VERIFY_FAILED certificate verify failed", "SSL_CERT_FILE"),
        ("returned a non-zero code: 2", "failed"),
    ],
    ids=["disk", "network", "certificate", "other"],
)
def test_a_failed_build_says_what_failed_and_what_to_do(said: str, advice: str) -> None:
    engine = Words({"stream": "Step 1/2 : FROM x\n"}, {"error": said})
    builder = Builder(
        engine=engine,  # type: ignore[arg-type]
        sources=Sources(ROOT),
        options=BuildOptions(),
        progress=None,
        refresh=False,
    )
    with pytest.raises(UnavailableError, match=advice) as caught:
        builder._image("julia", Sources(ROOT).context("julia"), {})
    assert "session image" in caught.value.message
    assert said in caught.value.message


def test_an_engine_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old:
        api = type("Api", (), {"version": staticmethod(lambda: {"ApiVersion": "1.39"})})

    monkeypatch.setattr("docker.from_env", lambda **_: Old())
    with pytest.raises(Exception, match=r"1\.39.*20\.10"):
        ensure_images(ROOT)


def test_an_engine_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(UnavailableError, match="does not answer"):
        ensure_images(ROOT)
