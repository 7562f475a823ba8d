from __future__ import annotations

import re
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from juliabox_manager.volumes import mounts, volume_name

TWINS = [
    "alice", "Alice", "ALICE", "al ice", "al-ice", "al/ice", "alice ", "..", ".", "...", "-", "--",
    "é", unicodedata.normalize("NFD", "é"), "ﬁ", "fi", "①", "1", "ΑΒΓ", "абв", "\u202ealice",
    "<b>alice</b>", "'; drop table users; --", "a" * 254, "a" * 255, "日本" * 60, "removed",
    ".new-alice", "alice\x00", "\ud800", "K", "K", "ß", "ss", "İ", "i", "\u0131",
]  # fmt: skip


def test_twins_and_hostile_names_get_safe_and_distinct_volumes() -> None:
    names = {volume_name(owner) for owner in TWINS}
    assert len(names) == len(set(TWINS))
    for name in names:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,23}-[0-9a-f]{24}", name)
    assert len({name.casefold() for name in names}) == len(names)
    assert volume_name("Alice Smith").startswith("alice-smith-")


@given(st.text(min_size=1, max_size=255))
def test_any_name_is_a_safe_file_name(owner: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,23}-[0-9a-f]{24}", volume_name(owner))


def test_the_mount_table_is_read_with_its_escapes() -> None:
    line = r"36 35 7:12 / /var/lib/a\040b\011c\134d rw,nosuid shared:1 - ext4 /dev/loop12 rw"
    (mount,) = mounts.parse(line + "\n")
    assert str(mount.target) == "/var/lib/a b\tc\\d"
    assert mount.loop == 12
    assert mounts.parse("22 27 0:21 / /proc rw - proc proc rw\n")[0].loop is None
