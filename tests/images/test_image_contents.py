"""What is in the final images, and what must not be."""

from __future__ import annotations

import re
from pathlib import Path

import docker
import pytest

from juliabox_cli.image_build import BuildOptions

pytestmark = pytest.mark.engine

FINAL = ["base", "control", "julia", "julia-api"]
#: Bytes; a session image is pulled or kept by every instance.
LARGEST = {
    "base": 200_000_000,
    "control": 500_000_000,
    "julia": 1_300_000_000,
    "julia-api": 900_000_000,
}
MOST_LAYERS = 8


def shell(engine: docker.DockerClient, image: str, script: str, **more: object) -> str:
    """Run a script as root in a container without network, and return its output."""
    output: bytes = engine.containers.run(
        image,
        ["-c", script],
        entrypoint=["/bin/sh"],
        user="0",
        network_mode="none",
        remove=True,
        **more,
    )
    return output.decode()


@pytest.mark.parametrize("name", FINAL)
def test_an_image_is_small_and_has_few_layers(
    engine: docker.DockerClient, images: dict[str, str], name: str
) -> None:
    found = engine.images.get(images[name])
    print(f"{name}: {found.attrs['Size'] / 1e6:.0f} MB")
    assert found.attrs["Size"] < LARGEST[name]
    assert len(found.attrs["RootFS"]["Layers"]) <= MOST_LAYERS


@pytest.mark.parametrize("name", FINAL)
def test_the_history_of_an_image_names_no_server_and_no_argument(
    engine: docker.DockerClient, images: dict[str, str], name: str
) -> None:
    for entry in engine.images.get(images[name]).history():
        assert "://" not in entry["CreatedBy"]
        assert not re.match(r"\|\d", entry["CreatedBy"]), "a build argument is in the history"


@pytest.mark.parametrize("name", FINAL)
def test_an_image_holds_nothing_of_what_fetched_it(
    engine: docker.DockerClient, images: dict[str, str], name: str
) -> None:
    left = shell(
        engine,
        images[name],
        "ls -d /build /out /root/.cache /root/.npm /root/.config /etc/pip.conf /root/.npmrc"
        " /etc/apt/sources.list /etc/apt/auth.conf 2>/dev/null;"
        "find /var/lib/apt/lists /var/cache/apt /tmp /var/log -type f 2>/dev/null;"
        "find / -xdev \\( -name .npmrc -o -name pip.conf -o -name '*.key' -o -name id_rsa"
        " -o -name direct_url.json \\) -not -path '/proc/*'",
    )
    assert left == ""


@pytest.mark.parametrize("name", FINAL)
def test_no_program_of_an_image_can_gain_rights(
    engine: docker.DockerClient, images: dict[str, str], name: str
) -> None:
    assert shell(engine, images[name], "find / -xdev -type f -perm /6000") == ""


@pytest.mark.parametrize("name", FINAL)
def test_an_image_trusts_debians_certificates_and_none_of_the_host(
    engine: docker.DockerClient, images: dict[str, str], name: str, tmp_path: Path
) -> None:
    bundle = BuildOptions.from_environment().ca_bundle
    trusted = certificates(
        shell(engine, images["base"], "cat /usr/share/ca-certificates/mozilla/*.crt")
    )
    assert len(trusted) > 100
    held = certificates(shell(engine, images[name], "cat /etc/ssl/certs/ca-certificates.crt"))
    assert held <= trusted
    private = certificates(bundle.read_text() if bundle else "") - trusted
    lines = {block.splitlines()[len(block.splitlines()) // 2] for block in private}
    patterns = tmp_path / "patterns"
    patterns.write_text("\n".join(sorted(lines)) + "\n" if lines else "no private authority\n")
    found = shell(
        engine,
        images[name],
        "grep -rlFf /patterns /etc /opt /usr /var /home /root /srv || true",
        volumes={str(patterns): {"bind": "/patterns", "mode": "ro"}},
    )
    assert found == ""


def certificates(text: str) -> set[str]:
    """Return the base64 bodies of all certificates in a PEM text."""
    return set(re.findall(r"-----BEGIN CERTIFICATE-----\n(.*?)-----END", text, re.S))


@pytest.mark.parametrize(
    ("name", "user"),
    [("control", "900:900"), ("julia", "1000:1000"), ("julia-api", "1000:1000")],
)
def test_an_image_runs_under_an_init_as_a_user_with_a_check_and_labels(
    engine: docker.DockerClient, images: dict[str, str], name: str, user: str
) -> None:
    config = engine.images.get(images[name]).attrs["Config"]
    assert config["User"] == user
    assert config["Entrypoint"][:2] == ["/usr/bin/tini", "--"]
    assert config["Healthcheck"]["Test"]
    assert config["Labels"]["org.opencontainers.image.title"].startswith("JuliaBox")
    assert config["Labels"]["juliabox.base"] == images["base"]


def test_both_images_with_julia_share_their_layers(
    engine: docker.DockerClient, images: dict[str, str]
) -> None:
    base, session, api = (
        engine.images.get(images[name]).attrs["RootFS"]["Layers"]
        for name in ("base", "julia", "julia-api")
    )
    # the base image's, Debian's packages, Julia
    shared = len(base) + 2
    assert session[:shared] == api[:shared]
    assert len(api) == shared + 1


def test_the_control_image_has_every_program_that_its_parts_call(
    engine: docker.DockerClient, images: dict[str, str]
) -> None:
    programs = (
        "juliabox-manager juliabox-hub juliabox-proxy juliabox-health configurable-http-proxy node "
        "nft nsenter mkfs.ext4 dumpe2fs e2fsck losetup mount umount ip tini python3"
    )
    output = shell(engine, images["control"], f"for p in {programs}; do command -v $p; done")
    assert len(output.split()) == len(programs.split())


def test_node_is_new_enough_for_the_proxy(
    engine: docker.DockerClient, images: dict[str, str]
) -> None:
    output = shell(engine, images["control"], "node --version && configurable-http-proxy --version")
    node, proxy = output.split()
    assert int(node.removeprefix("v").split(".")[0]) >= 20
    assert tuple(map(int, proxy.split("."))) >= (5, 3)


def test_the_project_and_its_data_are_in_the_control_image(
    engine: docker.DockerClient, images: dict[str, str], snapshot: Path
) -> None:
    script = (
        "python -P -c 'import juliabox_manager.protocol, juliabox_spawner, juliabox_ext.errors,"
        " importlib.resources as r;"
        ' print(sorted(f.name for f in r.files("juliabox_config").iterdir()))\''
    )
    root = snapshot / "jupyterhub_config"
    output = shell(engine, images["control"], script)
    for path in root.iterdir():
        if not path.name.startswith((".", "__pycache__")):
            assert path.name in output
