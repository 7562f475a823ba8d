"""The configuration of the single-user server, as the image has it."""

from __future__ import annotations

from pathlib import Path

import pytest
from traitlets.config.loader import Config, PyFileConfigLoader

from juliabox_services.portal.settings import portal_host

FOLDER = Path(__file__).resolve().parents[2] / "images/julia/jupyter"


def loaded() -> Config:
    return PyFileConfigLoader("jupyter_server_config.py", path=str(FOLDER)).load_config()


@pytest.mark.parametrize(
    ("hub", "frames"),
    [
        ("", "frame-ancestors 'self'"),
        (
            "https://julia.example.org:8443",
            "frame-ancestors https://portal--service.julia.example.org:8443",
        ),
    ],
    ids=["one-host", "subdomains"],
)
def test_a_server_may_be_framed_by_the_portal_alone(
    hub: str, frames: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_HOST", hub)
    headers = loaded().ServerApp.tornado_settings["headers"]
    assert headers == {"Content-Security-Policy": frames}
    if hub:
        assert portal_host(hub) in frames
