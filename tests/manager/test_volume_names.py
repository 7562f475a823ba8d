from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
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


@pytest.mark.parametrize("name", ["plain", "with space", "tab\there", "back\\slash", "line\nend"])
async def test_a_folder_is_found_in_a_long_mount_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    target = tmp_path / name
    written = re.sub(r"[ \t\n\\]", lambda char: f"\\{ord(char[0]):03o}", str(target))
    others = [f"{n} 22 7:{n} / {tmp_path}/{n} rw - ext4 /dev/loop{n} rw" for n in range(50)]
    own = [f"90 22 7:{n} / {written} rw - ext4 /dev/loop{n} rw" for n in (60, 61)]
    table = tmp_path / "mountinfo"
    table.write_text("\n".join([*others, own[0], "22 1 8:1 / / rw - ext4 /dev/sda rw", own[1], ""]))
    monkeypatch.setattr(mounts, "_MOUNTINFO", table)
    monkeypatch.setattr(mounts, "_mount_id", str)  # that something is mounted there
    found = await mounts.at(target)
    assert [(mount.target, mount.minor) for mount in found] == [(target, 60), (target, 61)]
    assert mounts.holding(target / "inside") == found[-1]
    assert mounts.holding(Path("/usr")) == mounts.Mount(Path("/"), 8, 1)
