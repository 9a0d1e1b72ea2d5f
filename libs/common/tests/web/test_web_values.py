"""The pure parts: merge patch, cursors, conditions, JSON, lines, spool, routes."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import Invalid, Stale
from common.web import merge_patch
from common.web.conditions import etag, expected_versions, not_modified, require_version
from common.web.lines import LineSplitter, TooLong
from common.web.pagination import decode_cursor, encode_cursor, next_link
from common.web.problems import Problem
from common.web.routing import Routes
from common.web.spool import Spool, SpoolFull
from common.web.validation import Schema, parse_json

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=15
)

# RFC 7396, appendix A, as it stands there: (original, patch, result).
RFC_7396 = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(("original", "patch", "result"), RFC_7396)
def test_merge_patch_gives_what_the_rfc_shows(original: str, patch: str, result: str) -> None:
    target = json.loads(original)
    assert merge_patch.apply(target, json.loads(patch)) == json.loads(result)
    assert target == json.loads(original)


def without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: without_nulls(each) for name, each in value.items() if each is not None}


@given(VALUES, VALUES)
def test_a_patch_applied_twice_changes_nothing_more(target: Any, patch: Any) -> None:
    once = merge_patch.apply(target, patch)
    assert merge_patch.apply(once, patch) == once
    assert merge_patch.apply(target, {}) == (target if isinstance(target, dict) else {})
    if isinstance(patch, dict):
        assert merge_patch.apply(None, patch) == without_nulls(patch)


SHAPES: list[tuple[Any, Any]] = [
    (str, WORDS),
    (int, st.integers(1 - 2**63, 2**63 - 1)),
    (float, st.floats(-1e15, 1e15)),
    (bool, st.booleans()),
]
SHAPES.append((str | None, WORDS | st.none()))
TYPED = st.lists(st.sampled_from(SHAPES).flatmap(lambda shape: st.tuples(st.just(shape[0]), shape[1])), max_size=5)


@given(TYPED)
def test_a_cursor_gives_back_what_went_in(typed: list[tuple[Any, Any]]) -> None:
    shape, values = tuple(kind for kind, _ in typed), tuple(value for _, value in typed)
    text = encode_cursor(values)
    assert text.replace("-", "").replace("_", "").isalnum()
    again = decode_cursor(text, shape)
    assert again == values
    assert [type(value) for value in again] == [type(value) for value in values]


@given(
    st.text(max_size=60) | st.binary(max_size=40).map(lambda data: data.hex()),
    st.lists(st.sampled_from([str, int, float, bool]), max_size=3),
)
def test_what_was_never_given_out_is_no_cursor(text: str, shape: list[type]) -> None:
    with pytest.raises(Invalid) as refused:
        decode_cursor(text, tuple(shape))
    assert [(error.where, error.name) for error in refused.value.errors] == [("query", "cursor")]


@given(TYPED.filter(bool), st.data())
def test_a_garbled_cursor_is_no_cursor(typed: list[tuple[Any, Any]], data: st.DataObject) -> None:
    text = encode_cursor(tuple(value for _, value in typed))
    at = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.sampled_from("ABab09-_=+ \0é").filter(lambda character: character != text[at]))
    for garbled in (text[:at] + other + text[at + 1 :], text[:at], text + other, text + "A" * 5000):
        with pytest.raises(Invalid):
            decode_cursor(garbled, tuple(kind for kind, _ in typed))


@pytest.mark.parametrize("shape", [(), (int,), (str, str), (bool,)])
def test_a_cursor_of_another_list_is_no_cursor(shape: tuple[type, ...]) -> None:
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor(("a",)), shape)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**70, "\ud800", "x" * 3000, b"x"])
def test_what_could_not_be_read_again_is_not_given_out(value: Any) -> None:
    with pytest.raises(ValueError, match="cannot be a cursor"):
        encode_cursor((value,))


def test_the_next_page_keeps_the_other_parameters() -> None:
    link = next_link("/v1.0/rooms", "provider=a%26b&limit=5&cursor=old&q=", "n-w")
    assert link == '</v1.0/rooms?provider=a%26b&limit=5&q=&cursor=n-w>; rel="next"'


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"7"', {7}),
        ('"7", "8"', {7, 8}),
        ('"7","abc" , W/"9"', {7}),
        ('W/"7"', set()),
        ('"007"', set()),
        ('"-1"', set()),
        ('"7,8"', set()),
        ('"' + "9" * 40 + '"', set()),
    ],
)
def test_if_match_allows_these_versions(header: str | None, versions: set[int] | None) -> None:
    assert expected_versions(header) == versions


@pytest.mark.parametrize("header", ["", "7", '"7', '7"', '"7" "8"', "*, *", ",", 'w/"7"', "'7'", '"7", x'])
def test_an_if_match_that_cannot_be_read_protects_nothing_and_is_refused(header: str) -> None:
    with pytest.raises(Invalid) as refused:
        expected_versions(header)
    assert refused.value.errors[0].name == "If-Match"


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (None, False),
        ("*", True),
        ('"7"', True),
        ('W/"7"', True),
        ('"6", W/"7"', True),
        ('"8"', False),
        ("7", False),
        ('"7', False),
        ("", False),
    ],
)
def test_if_none_match_compares_weakly_and_forgives(header: str | None, known: bool) -> None:
    assert not_modified(header, 7) is known


def test_a_write_that_expects_another_version_is_stale() -> None:
    require_version(None, "x", 3)
    require_version(expected_versions(etag(3)), "x", 3)
    for header in (etag(2), '"abc"', f"W/{etag(3)}"):
        with pytest.raises(Stale) as stale:
            require_version(expected_versions(header), "x", 3)
        assert stale.value.version == 3


@given(st.text(max_size=40))
def test_no_condition_header_breaks_the_parser(header: str) -> None:
    not_modified(header, 1)
    with suppress(Invalid):
        expected_versions(header)


@given(VALUES)
def test_json_comes_back_as_it_went_with_whole_numbers_as_integers(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789.eE-+ \\u0ntrf', max_size=60).map(str.encode))
def test_whatever_the_bytes_json_is_parsed_or_refused(data: bytes) -> None:
    with suppress(Invalid):
        value = parse_json(data)
        assert json.loads(data, parse_int=within_64_bits) == value


def within_64_bits(text: str) -> float:
    """Beyond 64 bits a number is known to 53 of them only; validation of an `integer` refuses it."""
    number = int(text)
    return number if -(2**63) <= number < 2**64 else float(text)


@given(st.lists(st.tuples(WORDS, SCALARS), max_size=6))
def test_a_name_twice_is_refused_and_only_then(pairs: list[tuple[str, Any]]) -> None:
    text = "{" + ", ".join(f"{json.dumps(name)} : {json.dumps(value)}" for name, value in pairs) + "}"
    if len({name for name, _ in pairs}) < len(pairs):
        with pytest.raises(Invalid, match="twice"):
            parse_json(text.encode())
    else:
        assert parse_json(text.encode()) == dict(pairs)


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=12), st.integers(1, 9), st.booleans())
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], size: int, ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    whole, pieces = LineSplitter(8), LineSplitter(8)
    expected = whole.feed(data) + whole.finish()
    found = [line for at in range(0, len(data), size) for line in pieces.feed(data[at : at + size])] + pieces.finish()
    assert found == expected
    for number, line in expected:
        given_line = lines[number - 1].removesuffix(b"\r")
        assert line == (given_line if len(given_line) <= 8 else TooLong(8)) or number == 1


@given(st.lists(st.binary(min_size=1, max_size=200_000) | st.just(b""), max_size=12))
def test_a_spool_gives_back_the_bytes_in_order(steps: list[bytes]) -> None:
    spool, given_in, taken = Spool(10**9), b"", b""
    for step in steps:
        if step:
            spool.write(step)
            given_in += step
        else:
            taken += spool.read()
    while piece := spool.read():
        taken += piece
    spool.close()
    assert taken == given_in


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, [0, 2**63 - 1, 1 - 2**63], [2**63, -(2**63), 1e30, -1e30, 1.5, "1", True, None]),
        ({"type": "integer", "nullable": True}, [None, 1], ["", 2**63]),
        ({"type": "string", "nullable": True, "enum": ["a"]}, [None, "a"], ["b", 1]),
        ({"nullable": True, "allOf": [{"$ref": "#/components/schemas/Size"}]}, [None, 1], [0, 11, "1"]),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, [1e-9, 1], [0, -1]),
        ({"type": "number", "maximum": 5, "exclusiveMaximum": False}, [5, 4.5], [6]),
        (
            {"type": "string", "format": "uuid"},
            ["0af76519-16cd-43dd-8448-eb211c80319c"],
            ["0af7651916cd43dd8448eb211c80319c", ""],
        ),
        ({"type": "string", "format": "uri"}, ["https://a.example/b?c#d", "javascript:x"], ["a", "//a.example", "https://a b"]),
        ({"type": "string", "format": "date-time"}, ["2026-01-31T12:00:00Z"], ["2026-01-31", "2026-02-30T12:00:00Z", ""]),
        ({"type": "string", "maxLength": 2}, ["🚂🚂"], ["abc"]),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Size"}}, [[1, 10]], [[0]]),
        (
            {"type": "object", "required": ["id"], "properties": {"id": {"type": "string", "readOnly": True}}},
            [{}, {"id": 1}],
            [[]],
        ),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, [{"a": 1}], [{"a": "x"}]),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, ["a", 1], [1.5, None]),
    ],
)
def test_a_schema_of_openapi_3_0_takes_what_it_says(schema: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    compiled = Schema(schema, {"schemas": {"Size": {"type": "integer", "minimum": 1, "maximum": 10}}})
    assert [value for value in good if compiled.errors(value)] == []
    assert [value for value in bad if not compiled.errors(value)] == []


def test_a_schema_that_refers_to_itself_is_compiled() -> None:
    tree = {"type": "object", "additionalProperties": False, "properties": {"of": {"$ref": "#/components/schemas/Tree"}}}
    compiled = Schema({"$ref": "#/components/schemas/Tree"}, {"schemas": {"Tree": tree}})
    assert compiled.errors({"of": {"of": {}}}) == ()
    assert [error.name for error in compiled.errors({"of": {"of": {"x": 1}}})] == ["of.of.x"]


def test_a_full_spool_takes_nothing_but_the_last_word() -> None:
    spool = Spool(1_000_000)
    spool.write(b"x" * 1_000_000)
    with pytest.raises(SpoolFull):
        spool.write(b"y")
    spool.write(b"z", beyond_limit=True)
    read = b""
    while piece := spool.read():
        read += piece
    assert read == b"x" * 1_000_000 + b"z"
    spool.close()


def test_routes_prefer_what_is_literal_and_keep_encoded_slashes_in_their_segment() -> None:
    routes: Routes[str] = Routes()
    routes.add("GET", "/rooms/{room_id}", "one")
    routes.add("POST", "/rooms/import", "import")
    routes.add("GET", "/{a}/{b}/c", "deep")
    assert routes.find("POST", "/rooms/import") == ("import", {})
    assert routes.find("GET", "/rooms/imports/") == ("one", {"room_id": "imports"})
    assert routes.find("HEAD", "/rooms/a%2Fb") == ("one", {"room_id": "a%2Fb"})
    assert routes.find("GET", "/rooms/x/c") == ("deep", {"a": "rooms", "b": "x"})
    assert routes.find("GET", "/rooms//") is None
    assert routes.find("GET", "/") is None
    for method in ("GET", "DELETE"):
        with pytest.raises(Problem) as wrong:
            routes.find(method, "/rooms/import")
        assert wrong.value.headers == (("Allow", "OPTIONS, POST"),)
    with pytest.raises(ValueError, match="twice"):
        routes.add("GET", "/rooms/{other}", "two")


def test_a_hint_is_said_instead_of_a_regular_expression() -> None:
    colour = {"type": "string", "pattern": "^[a-z]+$", "x-hint": "must be a colour"}
    plain = {"type": "string", "nullable": True, "pattern": "^x"}
    properties = {
        "colour": colour | {"nullable": True},
        "code": plain,
        "others": {"type": "array", "items": {"$ref": "#/components/schemas/Colour"}},
        "either": {"nullable": True, "allOf": [{"$ref": "#/components/schemas/Colour"}]},
    }
    schema = Schema({"type": "object", "properties": properties}, {"schemas": {"Colour": colour}})
    errors = schema.errors({"colour": "7", "code": "y", "others": ["red", "8"], "either": "9"})
    assert {error.name: error.detail for error in errors} == {
        "colour": "must be a colour",
        "code": "must match ^x",
        "others[1]": "must be a colour",
        "either": "must be a colour",
    }
