"""What every provider of ``cloud.dns`` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from juliabox_ext.cloud import Dns
from juliabox_ext.errors import RequestError


class DnsSuite:
    """Derive from it and give the fixtures; the domain, if there is one, is ``example.org``."""

    @pytest.fixture
    def dns(self) -> Dns:
        raise NotImplementedError("return a configured plugin without aliases")

    @pytest.fixture
    def aliases(self) -> Callable[[], Mapping[str, str]]:
        raise NotImplementedError("return a function that tells the aliases, names without dot")

    def test_a_domain_is_a_name_or_nothing(self, dns: Dns) -> None:
        assert dns.domain() in ("", "example.org")

    def test_an_alias_is_made_replaced_and_removed(
        self, dns: Dns, aliases: Callable[[], Mapping[str, str]]
    ) -> None:
        kept = bool(dns.domain())
        name = "box-1.example.org"
        dns.add_cname(name, "one.cloud.example.net")
        assert aliases() == ({name: "one.cloud.example.net"} if kept else {})
        dns.add_cname(name, "one.cloud.example.net")
        dns.add_cname(name, "two.cloud.example.net")
        assert aliases() == ({name: "two.cloud.example.net"} if kept else {})
        dns.add_cname("box-2.example.org", "two.cloud.example.net")
        dns.delete_cname(name)
        dns.delete_cname(name)
        assert aliases() == ({"box-2.example.org": "two.cloud.example.net"} if kept else {})

    @pytest.mark.parametrize(
        "name", ["", "a..example.org", "a b.example.org", "a\n.example.org", f"{'x' * 64}.org"],
        ids=["empty", "empty_label", "space", "line_break", "long_label"],
    )  # fmt: skip
    def test_what_is_no_name_is_refused(self, dns: Dns, name: str) -> None:
        with pytest.raises(RequestError):
            dns.add_cname(name, "one.cloud.example.net")
        with pytest.raises(RequestError):
            dns.add_cname("box-1.example.org", name)
        with pytest.raises(RequestError):
            dns.delete_cname(name)
