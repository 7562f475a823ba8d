"""The worker's JSON: what RFC 8259 admits is read, all else refused.

Cases have the names of those of the public suite where they are the same.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.api_worker import Link

pytestmark = pytest.mark.engine

ACCEPTED: dict[str, bytes] = {
    "y_array_arraysWithSpaces": b"[[]   ]",
    "y_array_empty-string": b'[""]',
    "y_array_empty": b"[]",
    "y_array_ending_with_newline": b'["a"]\n',
    "y_array_false": b"[false]",
    "y_array_heterogeneous": b'[null, 1, "1", {}]',
    "y_array_null": b"[null]",
    "y_array_with_1_and_newline": b"[1\n]",
    "y_array_with_leading_space": b" [1]",
    "y_array_with_several_null": b"[1,null,null,null,2]",
    "y_array_with_trailing_space": b"[2] ",
    "y_number": b"[123e65]",
    "y_number_0e+1": b"[0e+1]",
    "y_number_0e1": b"[0e1]",
    "y_number_after_space": b"[ 4]",
    "y_number_double_close_to_zero": b"[-0." + b"0" * 70 + b"1]",
    "y_number_int_with_exp": b"[20e1]",
    "y_number_minus_zero": b"[-0]",
    "y_number_negative_int": b"[-123]",
    "y_number_negative_one": b"[-1]",
    "y_number_real_capital_e": b"[1E22]",
    "y_number_real_capital_e_neg_exp": b"[1E-2]",
    "y_number_real_capital_e_pos_exp": b"[1E+2]",
    "y_number_real_exponent": b"[123e45]",
    "y_number_real_fraction_exponent": b"[123.456e78]",
    "y_number_real_neg_exp": b"[1e-2]",
    "y_number_simple_int": b"[123]",
    "y_number_simple_real": b"[123.456789]",
    "y_number_subnormal": b"[5e-324, 1e-310]",
    "y_number_underflow": b"[1e-400]",
    "y_number_largest": b"[1.7976931348623157e308]",
    "y_number_int64_limits": b"[9223372036854775807, -9223372036854775808]",
    "y_number_too_big_for_int64": b"[9223372036854775808, -9223372036854775809]",
    "y_number_huge_int": b"[" + b"9" * 500 + b"]",
    "y_object": b'{"asd":"sdf", "dfg":"fgh"}',
    "y_object_basic": b'{"asd":"sdf"}',
    "y_object_empty": b"{}",
    "y_object_empty_key": b'{"":0}',
    "y_object_escaped_null_in_key": b'{"foo\\u0000bar": 42}',
    "y_object_extreme_numbers": b'{ "min": -1.0e+28, "max": 1.0e+28 }',
    "y_object_long_strings": b'{"x":[{"id": "' + b"x" * 40 + b'"}], "id": "' + b"x" * 40 + b'"}',
    "y_object_string_unicode": '{"title":"\\u041f\\u043e\\u043b Пол"}'.encode(),
    "y_object_with_newlines": b'{\n"a": "b"\n}',
    "y_string_1_2_3_bytes_UTF-8_sequences": b'["\\u0060\\u012a\\u12AB"]',
    "y_string_accepted_surrogate_pair": b'["\\uD801\\udc37"]',
    "y_string_accepted_surrogate_pairs": b'["\\ud83d\\ude39\\ud83d\\udc8d"]',
    "y_string_allowed_escapes": b'["\\"\\\\\\/\\b\\f\\n\\r\\t"]',
    "y_string_backslash_and_u_escaped_zero": b'["\\\\u0000"]',
    "y_string_backslash_doublequotes": b'["\\""]',
    "y_string_comments": b'["a/*b*/c/*d//e"]',
    "y_string_double_escape_n": b'["\\\\n"]',
    "y_string_escaped_control_character": b'["\\u0012"]',
    "y_string_escaped_noncharacter": b'["\\uFFFF"]',
    "y_string_in_array_with_leading_space": b'[ "asd"]',
    "y_string_last_surrogates_1_and_2": b'["\\uDBFF\\uDFFF"]',
    "y_string_nbsp_uescaped": b'["new\\u00A0line"]',
    "y_string_nonCharacterInUTF-8_U+10FFFF": b'["\xf4\x8f\xbf\xbf"]',
    "y_string_nonCharacterInUTF-8_U+FFFF": b'["\xef\xbf\xbf"]',
    "y_string_null_escape": b'["\\u0000"]',
    "y_string_one-byte-utf-8": b'["\\u002c"]',
    "y_string_pi": '["π"]'.encode(),
    "y_string_reservedCharacterInUTF-8_U+1BFFF": b'["\xf0\x9b\xbf\xbf"]',
    "y_string_simple_ascii": b'["asd "]',
    "y_string_space": b'" "',
    "y_string_u+2028_line_sep": b'["\xe2\x80\xa8"]',
    "y_string_u+2029_par_sep": b'["\xe2\x80\xa9"]',
    "y_string_uEscape": b'["\\u0061\\u30af\\u30EA\\u30b9"]',
    "y_string_unescaped_char_delete": b'["\x7f"]',
    "y_string_unicode_2": '["⍂㈴⍂"]'.encode(),
    "y_string_utf8": '["€𝄞"]'.encode(),
    "y_string_with_del_character": b'["a\x7fa"]',
    "y_structure_lonely_false": b"false",
    "y_structure_lonely_int": b"42",
    "y_structure_lonely_negative_real": b"-0.1",
    "y_structure_lonely_null": b"null",
    "y_structure_lonely_string": b'"asd"',
    "y_structure_lonely_true": b"true",
    "y_structure_string_empty": b'""',
    "y_structure_trailing_newline": b'["a"]\n',
    "y_structure_true_in_array": b"[true]",
    "y_structure_whitespace_array": b" \r\n\t[] ",
    "y_structure_64_levels": b"[" * 63 + b"]" * 63,
}

REFUSED: dict[str, bytes] = {
    "n_array_1_true_without_comma": b"[1 true]",
    "n_array_a_invalid_utf8": b"[a\xe5]",
    "n_array_colon_instead_of_comma": b'["": 1]',
    "n_array_comma_after_close": b'[""],',
    "n_array_comma_and_number": b"[,1]",
    "n_array_double_comma": b"[1,,2]",
    "n_array_double_extra_comma": b'["x",,]',
    "n_array_extra_close": b'["x"]]',
    "n_array_extra_comma": b'["",]',
    "n_array_incomplete": b'["x"',
    "n_array_inner_array_no_comma": b"[3[4]]",
    "n_array_invalid_utf8": b"[\xff]",
    "n_array_just_comma": b"[,]",
    "n_array_just_minus": b"[-]",
    "n_array_missing_value": b'[   , ""]',
    "n_array_newlines_unclosed": b'["a",\n4\n,1,',
    "n_array_number_and_several_commas": b"[1,,]",
    "n_array_star_inside": b"[*]",
    "n_array_unclosed": b'[""',
    "n_array_unclosed_trailing_comma": b"[1,",
    "n_incomplete_false": b"[fals]",
    "n_incomplete_null": b"[nul]",
    "n_incomplete_true": b"[tru]",
    "n_multidigit_number_then_00": b"123\x00",
    "n_number_++": b"[++1234]",
    "n_number_+1": b"[+1]",
    "n_number_+Inf": b"[+Inf]",
    "n_number_-01": b"[-01]",
    "n_number_-1.0.": b"[-1.0.]",
    "n_number_-2.": b"[-2.]",
    "n_number_-NaN": b"[-NaN]",
    "n_number_.-1": b"[.-1]",
    "n_number_.2e-3": b"[.2e-3]",
    "n_number_0.1.2": b"[0.1.2]",
    "n_number_0.3e+": b"[0.3e+]",
    "n_number_0.3e": b"[0.3e]",
    "n_number_0.e1": b"[0.e1]",
    "n_number_0_capital_E+": b"[0E+]",
    "n_number_0_capital_E": b"[0E]",
    "n_number_0e": b"[0e]",
    "n_number_1.0e-": b"[1.0e-]",
    "n_number_1_000": b"[1 000.0]",
    "n_number_1eE2": b"[1eE2]",
    "n_number_2.e3": b"[2.e3]",
    "n_number_9.e+": b"[9.e+]",
    "n_number_Inf": b"[Inf]",
    "n_number_NaN": b"[NaN]",
    "n_number_U+FF11_fullwidth_digit_one": b"[\xef\xbc\x91]",
    "n_number_expression": b"[1+2]",
    "n_number_hex_1_digit": b"[0x1]",
    "n_number_infinity": b"[Infinity]",
    "n_number_invalid+-": b"[0e+-1]",
    "n_number_invalid-negative-real": b"[-123.123foo]",
    "n_number_minus_infinity": b"[-Infinity]",
    "n_number_minus_sign_with_trailing_garbage": b"[-foo]",
    "n_number_minus_space_1": b"[- 1]",
    "n_number_neg_int_starting_with_zero": b"[-012]",
    "n_number_neg_real_without_int_part": b"[-.123]",
    "n_number_real_garbage_after_e": b"[1ea]",
    "n_number_real_without_fractional_part": b"[1.]",
    "n_number_starting_with_dot": b"[.123]",
    "n_number_then_00": b"1\x00",
    "n_number_with_alpha": b"[1.2a-3]",
    "n_number_with_leading_zero": b"[012]",
    "n_number_without_float64": b"[1e400]",
    "n_number_without_float64_negative": b"[-1e999999]",
    "n_number_too_many_digits": b"[" + b"9" * 20_000 + b"]",
    "n_object_bad_value": b'["x", truth]',
    "n_object_bracket_key": b'{[: "x"}\n',
    "n_object_comma_instead_of_colon": b'{"x", null}',
    "n_object_double_colon": b'{"x"::"b"}',
    "n_object_duplicated_key": b'{"a":"b","a":"c"}',
    "n_object_duplicated_key_escaped": b'{"a":"b","\\u0061":"c"}',
    "n_object_garbage_at_end": b'{"a":"a" 123}',
    "n_object_key_with_single_quotes": b"{key: 'value'}",
    "n_object_missing_colon": b'{"a" b}',
    "n_object_missing_key": b'{:"b"}',
    "n_object_missing_semicolon": b'{"a" "b"}',
    "n_object_missing_value": b'{"a":',
    "n_object_no-colon": b'{"a"',
    "n_object_non_string_key": b"{1:1}",
    "n_object_single_quote": b"{'a':0}",
    "n_object_trailing_comma": b'{"id":0,}',
    "n_object_trailing_comment": b'{"a":"b"}/**/',
    "n_object_two_commas_in_a_row": b'{"a":"b",,"c":"d"}',
    "n_object_unquoted_key": b'{a: "b"}',
    "n_object_unterminated-value": b'{"a":"a',
    "n_object_with_trailing_garbage": b'{"a":"b"}#',
    "n_single_space": b" ",
    "n_string_1_surrogate_then_escape": b'["\\uD800\\"]',
    "n_string_1_surrogate_then_escape_u": b'["\\uD800\\u"]',
    "n_string_1_surrogate_then_escape_u1": b'["\\uD800\\u1"]',
    "n_string_lone_high_surrogate": b'["\\uD800"]',
    "n_string_lone_low_surrogate": b'["\\uDC00"]',
    "n_string_reversed_surrogates": b'["\\uDC00\\uD800"]',
    "n_string_two_high_surrogates": b'["\\uD800\\uD800"]',
    "n_string_surrogate_in_utf8": b'["\xed\xa0\x80"]',
    "n_string_overlong_utf8": b'["\xc0\xaf"]',
    "n_string_truncated_utf8": b'["\xe2\x82"]',
    "n_string_beyond_unicode": b'["\xf4\x90\x80\x80"]',
    "n_string_accentuated_char_no_quotes": "[é]".encode(),
    "n_string_backslash_00": b'["\\\x00"]',
    "n_string_escape_x": b'["\\x00"]',
    "n_string_escaped_backslash_bad": b'["\\\\\\"]',
    "n_string_escaped_ctrl_char_tab": b'["\\\t"]',
    "n_string_escaped_emoji": '["\\🌀"]'.encode(),
    "n_string_incomplete_escape": b'["\\"]',
    "n_string_incomplete_escaped_character": b'["\\u00A"]',
    "n_string_invalid-utf-8-in-escape": b'["\\u\xe5"]',
    "n_string_invalid_backslash_esc": b'["\\a"]',
    "n_string_invalid_unicode_escape": b'["\\uqqqq"]',
    "n_string_no_quotes_with_bad_escape": b"[\\n]",
    "n_string_single_doublequote": b'"',
    "n_string_single_quote": b"['single quote']",
    "n_string_start_escape_unclosed": b'["\\',
    "n_string_unescaped_ctrl_char": b'["a\x00a"]',
    "n_string_unescaped_newline": b'["new\nline"]',
    "n_string_unescaped_tab": b'["\t"]',
    "n_string_unicode_CapitalU": b'"\\UA66D"',
    "n_string_with_trailing_garbage": b'""x',
    "n_structure_100000_opening_arrays": b"[" * 100_000,
    "n_structure_100_levels": b"[" * 100 + b"]" * 100,
    "n_structure_65_levels": b"[" * 65 + b"]" * 65,
    "n_structure_UTF8_BOM": b"\xef\xbb\xbf[]",
    "n_structure_UTF16": "[1]".encode("utf-16"),
    "n_structure_angle_bracket_.": b"<.>",
    "n_structure_array_trailing_garbage": b"[1]x",
    "n_structure_array_with_unclosed_string": b'["asd]',
    "n_structure_capitalized_True": b"[True]",
    "n_structure_close_unopened_array": b"1]",
    "n_structure_double_array": b"[][]",
    "n_structure_end_array": b"]",
    "n_structure_lone-open-bracket": b"[",
    "n_structure_no_data_but_newline": b"\n",
    "n_structure_null-byte-outside-string": b"[\x00]",
    "n_structure_number_with_trailing_garbage": b"2@",
    "n_structure_object_with_comment": b'{"a":/*comment*/"b"}',
    "n_structure_open_array_object": b'[{"":' * 5000,
    "n_structure_single_star": b"*",
    "n_structure_unclosed_array_partial_null": b"[ false, nul",
    "n_structure_unicode-identifier": "å".encode(),
    "n_structure_whitespace_U+2060_word_joiner": "[⁠]".encode(),
    "n_structure_whitespace_formfeed": b"[\x0c]",
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_valid_json_is_read_and_written_back_as_the_same(worker: Link, name: str) -> None:
    text = ACCEPTED[name]
    alone = worker.call_with("anything", text)
    # a keyword of Julia cannot hold a zero byte, a key of JSON can
    assert alone.kind == "result" or "no keyword argument" in alone.header["message"]
    reply = worker.call_with("echo", b'{"value":' + text + b"}")
    assert reply.kind == "result", reply.header
    assert reply.value == json.loads(text)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_json_is_refused(worker: Link, name: str) -> None:
    reply = worker.call_with("anything", REFUSED[name])
    assert (reply.kind, reply.header["code"]) == ("error", "api.body")
    assert "JSON" in reply.header["message"]
    assert worker.call("fib", 10).value == 55


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (b"1", "Int64"),
        (b"1.0", "Float64"),
        (b"9223372036854775807", "Int64"),
        (b"9223372036854775808", "BigInt"),
        (b"null", "Nothing"),
        (b'"a"', "String"),
        (b"[1,2]", "Array{Int64,1}"),
        (b"[1,2.5]", "Array{Float64,1}"),
        (b'["a"]', "Array{String,1}"),
        (b"[true]", "Array{Bool,1}"),
        (b"[[1,2],[3,4]]", "Array{Array{Int64,1},1}"),
        (b"[[1,2],[3,4.5]]", "Array{Array{Float64,1},1}"),
        (b"[9007199254740993, 0.5]", "Array{Any,1}"),
        (b'[1,"a"]', "Array{Any,1}"),
        (b"{}", "Dict{String,Any}"),
    ],
)
def test_values_come_as_the_narrowest_type_that_loses_nothing(
    worker: Link, text: bytes, kind: str
) -> None:
    found = worker.call_with("kind", b'{"value":' + text + b"}").value
    assert found.replace("Vector{", "Array{").replace(" ", "") in {kind, kind.replace(",1}", "}")}


#: Strings without surrogates; integers of any size; floats that are numbers.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=30,
)


@given(value=VALUES)
def test_any_value_comes_back_as_it_went(worker: Link, value: object) -> None:
    reply = worker.call_with("echo", json.dumps({"value": value}).encode())
    assert reply.kind == "result", reply.header
    assert reply.value == value
