"""What addresses of calls stand for."""

from __future__ import annotations

import json

import pytest

from juliabox_ext.errors import RequestError
from juliabox_services.api.arguments import MOST, Address, read, value

ITSELF = ["0", "-0", "30", "-7", "1.5", "1e5", "1E+5", "-1.25e-3", "true", "false", "null",
          "1e999", "123456789012345678901234567890"]  # fmt: skip
TEXTS = ["", "abc", "01", "+5", ".5", "5.", "1e", "0x10", "NaN", "Infinity", "-", "True", "nul",
         "[1,2]", "{}", '"', '"open', 'shut"', " 1", "1 ", "\u0661", "ü", "a\nb", "\0",
         '"a"b"', '"\\x"', '"a\nb"', '"\\"', '""0""', '"\\ud800"']  # fmt: skip


@pytest.mark.parametrize("text", ITSELF)
def test_a_number_and_a_word_of_json_stand_for_themselves(text: str) -> None:
    assert value(text) == text.encode()


@pytest.mark.parametrize("text", TEXTS, ids=repr)
def test_anything_else_is_a_text_as_it_is(text: str) -> None:
    assert json.loads(value(text)) == text


@pytest.mark.parametrize("text", ['""', '"30"', '"true"', '"a/b"', '"\\u00fc\\n"'])
def test_what_stands_in_quotes_is_a_json_string(text: str) -> None:
    assert value(text) == text.encode()


def test_an_address_is_read_part_by_part() -> None:
    found = read("ada%40x.org/sums/fib%21/30/a%2Fb/%2230%22", "n=1&text=a+b&empty=&bare")
    assert found == Address(
        "ada@x.org", "sums", "fib!", 3, b'[30,"a/b","30"]',
        b'{"n":1,"text":"a b","empty":"","bare":""}',
    )  # fmt: skip


def test_a_slash_at_the_end_is_no_argument() -> None:
    assert read("ada/sums/fib/", "").size == 0
    assert read("ada/sums/fib/1/", "").arguments == b"[1]"


def test_bytes_of_an_address_that_are_not_encoded_are_utf_8() -> None:
    raw = "ü".encode().decode("latin-1")
    assert json.loads(read(f"ada/sums/f/{raw}", "").arguments) == ["ü"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("a/b/f//1", ""),
        ("a/b/f/%FF", ""),
        ("a/b/f/\xff", ""),
        ("%C0%80/b/f", ""),
        ("a/b/f/1", "n=1&n=2"),
        ("a/b/f/1", "n=1&%6E=2"),
        ("a/b/f/1", "=2"),
        ("a/b/f/1", "n=%FF"),
        ("a/b/f" + "/1" * (MOST + 1), ""),
        ("a/b/f", "&".join(f"k{one}=1" for one in range(MOST + 1))),
    ],
    ids=["empty", "no utf-8", "raw byte", "overlong", "twice", "twice encoded", "no name",
         "value no utf-8", "many arguments", "many keywords"],
)  # fmt: skip
def test_what_is_no_address_is_refused(path: str, query: str) -> None:
    with pytest.raises(RequestError) as caught:
        read(path, query)
    assert caught.value.code == "api.address"
