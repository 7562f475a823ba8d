"""``config.yaml``: what is refused, with which words, and edits that keep comments."""

from __future__ import annotations

from pathlib import Path

import pytest

from juliabox_cli import config_file
from juliabox_cli.config import Config
from juliabox_cli.config_template import TEMPLATE
from juliabox_cli.rendering import public_url
from juliabox_ext.errors import ConfigurationError

# text -> what the message must hold: line, key, and what is allowed or meant
REFUSED = {
    "word-outside-the-list": (
        "name: a\nauthentication:\n  signup: perhaps\n",
        ["line 3", "authentication.signup", "'perhaps'", "'approval', 'open' or 'closed'"],
    ),
    "log-in-that-is-not-installed": (
        "name: a\nauthentication:\n  login: [native, gitlab]\n",
        ["line 3", "authentication.login.1", "'gitlab'", "github", "native"],
    ),
    "one-log-in-that-is-not-installed": (
        "name: a\nauthentication:\n  login: gitlab\n",
        ["line 3", "authentication.login", "'gitlab'", "github", "native"],
    ),
    "log-in-named-twice": (
        "authentication:\n  login: [native, native]\n",
        ["line 2", "authentication.login", "twice"],
    ),
    "misspelt-key": ("nmae: a\n", ["line 1", "nmae", "did you mean name?"]),
    "misspelt-nested-key": (
        "bind: 127.0.0.1\nsessions:\n  cpu: 1\n  memry: 2G\n",
        ["line 4", "sessions.memry", "did you mean memory?", "idle_timeout"],
    ),
    "misspelt-key-of-a-profile": (
        "profiles:\n  - slug: a\n    name: A\n  - slug: b\n    name: B\n    grups: [x]\n",
        ["line 6", "profiles.1.grups", "did you mean groups?"],
    ),
    "misspelt-key-of-a-group": (
        "groups:\n  lab:\n    mem: 1G\n",
        ["line 3", "groups.lab.mem", "memory"],
    ),
    "missing-key": ("profiles:\n  - slug: a\n", ["line 2", "profiles.0.name", "is missing"]),
    "port-as-a-word": ("\n\nport: http\n", ["line 3", "port", "'http'", "whole number"]),
    "port-too-large": ("port: 70000\n", ["line 1", "port", "70000", "at most 65535"]),
    "size-without-sense": (
        "sessions:\n  memory: much\n",
        ["line 2", "sessions.memory", "'much'", "512M, 2G"],
    ),
    "size-too-small": ("sessions: {memory: 1M}\n", ["sessions.memory", "at least 67108864"]),
    "duration-without-sense": (
        "sessions:\n  idle_timeout: soon\n",
        ["line 2", "sessions.idle_timeout", "90s, 15m, 1h or 7d"],
    ),
    "bind-as-a-name": ("bind: localhost\n", ["line 1", "bind", "IPv4 address"]),
    "yes-is-no-truth": ("network:\n  internet: maybe\n", ["line 2", "true or false"]),
    "section-as-a-value": ("sessions: 3\n", ["line 1", "sessions", "mapping"]),
    "list-as-a-value": ("network:\n  allow: 10.0.0.0/8\n", ["network.allow", "must be a list"]),
    "host-bits-in-a-network": (
        "network:\n  deny:\n    - 10.0.0.0/8\n    - 10.1.2.3/8\n",
        ["line 4", "network.deny.1", "CIDR"],
    ),
    "subnet-too-small": ("network: {subnet: 10.1.0.0/24}\n", ["network.subnet", "/16 to /23"]),
    "name-with-capitals": ("name: Julia\n", ["line 1", "name", "must match"]),
    "certificate-without-key": ("https: {certificate: /a.pem}\n", ["https", "set together"]),
    "base-url-without-slash": ("base_url: julia\n", ["base_url", "slash"]),
    "zero-login-in-the-open": (
        "bind: 0.0.0.0\nauthentication:\n  login: zero\n",
        ["line 3", "authentication.login", "loopback", "0.0.0.0"],
    ),
    "over-a-ceiling": (
        "ceilings: {memory: 1G}\nsessions:\n  memory: 2G\n",
        ["line 3", "sessions.memory", "ceilings.memory", "1G"],
    ),
    "two-profiles-of-one-slug": (
        "profiles:\n  - {slug: a, name: A}\n  - {slug: a, name: B}\n",
        ["line 3", "profiles.1.slug", "two profiles"],
    ),
    "pool-over-its-maximum": (
        "pool:\n  size: 9\n  maximum: 3\n",
        ["line 2", "pool.size", "pool.maximum, 3"],
    ),
    "pool-memory-without-sense": (
        "pool: {memory: some}\n",
        ["pool.memory", "'some'", "512M, 2G"],
    ),
    "profile-s-pool-over-the-maximum": (
        "profiles:\n  - {slug: a, name: A, pool: 11}\n",
        ["line 2", "profiles.0.pool", "pool.maximum, 10"],
    ),
    "two-pools-of-one-image": (
        "profiles:\n  - {slug: a, name: A, pool: 1}\n  - {slug: b, name: B, pool: 2}\n",
        ["line 3", "profiles.1.pool", "juliabox/julia"],
    ),
    "two-default-profiles": (
        "profiles:\n  - {slug: a, name: A, default: true}\n  - {slug: b, name: B, default: true}\n",
        ["line 3", "profiles.1.default"],
    ),
    "plain-http-beside-a-certificate": (
        "https: {certificate: /a, key: /b}\nsubdomain_host: http://a.example\n",
        ["line 2", "subdomain_host", "https://"],
    ),
    "broken-yaml": ("name: a\nport: [1,\nbind: x\n", ["line ", "not valid YAML"]),
    "double-key": ("port: 1\nport: 2\n", ["line 2", "not valid YAML", "port"]),
    "a-list-as-the-file": ("- a\n", ["line 1", "mapping"]),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_a_mistake_is_named_with_line_key_and_allowed_values(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        config_file.check(Path("config.yaml"), text)
    for word in words:
        assert word in caught.value.message
    assert caught.value.code == "configuration.invalid"


def test_all_mistakes_of_a_file_are_named_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        config_file.check(Path("config.yaml"), "port: 0\nnmae: x\nlog_level: loud\n")
    assert len(caught.value.message.splitlines()) == 3


def test_the_commented_defaults_are_the_defaults_and_name_every_key() -> None:
    written = config_file.check(Path("config.yaml"), TEMPLATE)
    assert written == Config()
    for key, field in Config.model_fields.items():
        assert f"\n{key}:" in TEMPLATE
        for nested in getattr(field.annotation, "model_fields", {}):
            assert f"  {nested}:" in TEMPLATE, f"{key}.{nested}"


def test_an_absent_or_empty_file_means_the_defaults(tmp_path: Path) -> None:
    assert config_file.load(tmp_path / "config.yaml") == Config()
    assert config_file.check(Path("config.yaml"), "# nothing\n") == Config()


def test_set_and_unset_keep_the_comments_and_change_one_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    config_file.ensure(path)
    assert config_file.set_values(path, {"sessions.memory": "3G"}).sessions.memory == 3 * 1024**3
    changed = path.read_text().splitlines()
    differing = [
        (old, new) for old, new in zip(TEMPLATE.splitlines(), changed, strict=True) if old != new
    ]
    assert differing == [("  memory: 1G", "  memory: 3G")]
    assert config_file.unset_value(path, "sessions.memory").sessions.memory == 1024**3
    assert "# Limits of one session." in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_set_makes_sections_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("name: a # mine\n")
    config_file.set_values(path, {"groups.lab.cpu": "2.5"})
    config_file.set_values(path, {"profiles": "[{slug: a, name: A}]"})
    config = config_file.set_values(path, {"profiles.0.description": "Big"})
    assert config.groups["lab"].cpu == 2.5
    assert config.profiles[0].description == "Big"
    assert "# mine" in path.read_text()


def test_a_refused_edit_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    config_file.ensure(path)
    for key, value in (("port", "x"), ("nope", "1"), ("port.deep", "1"), ("profiles.3.name", "x")):
        with pytest.raises(ConfigurationError):
            config_file.set_values(path, {key: value})
    with pytest.raises(ConfigurationError, match="default holds already"):
        config_file.unset_value(path, "sessions.nope")
    assert path.read_text() == TEMPLATE
    assert [one.name for one in tmp_path.iterdir()] == ["config.yaml"]


def test_keys_that_only_hold_together_are_set_together(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    config_file.ensure(path)
    pairs = {"https.certificate": "/a.crt", "https.key": "/a.key"}
    assert config_file.set_values(path, pairs).https.key == "/a.key"
    with pytest.raises(ConfigurationError, match="must be set together"):
        config_file.set_values(path, {"https.key": "''"})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base_url: '/a b/'", "base_url"),
        ("base_url: '/a$b/'", "base_url"),
        ("public_url: https://a.example/julia", "base_url"),
        ("public_url: 'https://a.example/ x'", "public_url"),
        ("subdomain_host: https://a.example/x", "subdomain_host"),
        ("subdomain_host: 'https://a.example #x'", "subdomain_host"),
        ("authentication: {admin: 'a<b'}", "authentication.admin"),
        ("authentication: {admin: '-a'}", "authentication.admin"),
    ],
)
def test_what_the_hub_would_stumble_over_is_refused_before(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        config_file.check(Path("config.yaml"), text)


def test_a_public_address_may_repeat_the_base() -> None:
    text = "public_url: https://a.example/julia/\nbase_url: /julia/\n"
    config = config_file.check(Path("config.yaml"), text)
    assert public_url(config) == "https://a.example/julia/"


def test_a_file_that_is_no_text_is_told_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    for content in (b"\xff\xfe", b"a: \x00"):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"config\.yaml"):
            config_file.load(path)
