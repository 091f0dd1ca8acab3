"""Strict base64url and strict JSON: one reading, or none."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from watchword.core.encoding import (
    MAX_DEPTH,
    NotStrict,
    b64url_decode,
    b64url_encode,
    json_decode,
    json_encode,
    json_object,
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


class TestBase64url:
    """RFC 7515 section 2 and RFC 4648 section 5, in the one canonical spelling."""

    @given(st.binary(max_size=200))
    def test_round_trip(self, data: bytes) -> None:
        """What is encoded decodes to itself, in the URL's alphabet and without padding."""
        text = b64url_encode(data)
        assert b64url_decode(text.encode()) == data
        assert set(text).isdisjoint("+/=")

    @given(st.text("AQgwBCDx019-_=+/ \n", max_size=12).map(str.encode) | st.binary(max_size=12))
    @example(b"QQ")
    def test_one_spelling(self, text: bytes) -> None:
        """Whatever decodes encodes to the very same text; everything else is refused."""
        try:
            data = b64url_decode(text)
        except NotStrict:
            return
        assert b64url_encode(data).encode() == text

    @pytest.mark.parametrize(
        "text",
        [
            b"Q",
            b"QQQQQ",
            b"QR",
            b"QUJ",
            b"QQ==",
            b"QQ=",
            b"=",
            b"Q Q",
            b"QQ\n",
            b"\nQQ",
            b"Q+Q",
            b"Q/Q",
            b"QQ.",
            b"\xc3",
        ],
    )
    def test_refused(self, text: bytes) -> None:
        """Impossible lengths, stray bits, padding, white space, the other alphabet and foreign bytes."""
        with pytest.raises(NotStrict):
            b64url_decode(text)

    def test_empty(self) -> None:
        """No text is no data."""
        assert b64url_decode(b"") == b""


class TestJsonDecode:
    """RFC 8259 without what has two readings."""

    @given(JSON)
    def test_round_trip(self, value: object) -> None:
        """What is encoded decodes to itself."""
        assert json_decode(json_encode(value)) == value

    @given(JSON, st.booleans(), st.sampled_from([None, 1, "\t"]))
    def test_agrees_with_the_standard_library(self, value: object, ascii_only: bool, indent: str | int | None) -> None:
        """Escapes and white space change nothing."""
        assert json_decode(json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()) == value

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            (b'{"a":1,"a":1}', "a repeated member"),
            (b'{"a":1,"\\u0061":2}', "a repeated member"),
            (b'[{"b":{"a":1,"a":2}}]', "a repeated member"),
            (b"NaN", "NaN"),
            (b"[Infinity]", "NaN"),
            (b'{"a":-Infinity}', "NaN"),
            (b"1e400", "out of range"),
            (b"[-1e400]", "out of range"),
            (b"1" * 5000, "not JSON"),
            (b"\xef\xbb\xbf{}", "not JSON"),
            ("{}".encode("utf-16"), "UTF-8"),
            (b'"\xff"', "UTF-8"),
            (b'"\xc0\x80"', "UTF-8"),
            (b'"\xed\xa0\x80"', "UTF-8"),
            (b'"\\ud800"', "surrogate"),
            (b'{"\\udc00":1}', "surrogate"),
            (b'["\\udc00\\ud800"]', "surrogate"),
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"{} {}", "not JSON"),
            (b"{}\x00", "not JSON"),
            (b"\xc2\xa0{}", "not JSON"),
            (b"{'a':1}", "not JSON"),
            (b'{"a":1,}', "not JSON"),
            (b"[01]", "not JSON"),
            (b"[+1]", "not JSON"),
            (b"[.5]", "not JSON"),
            (b"[1.]", "not JSON"),
            (b"[0x1]", "not JSON"),
            ("[\u0661]".encode(), "not JSON"),
            (b"[1_0]", "not JSON"),
            (b"True", "not JSON"),
            (b'"\n"', "not JSON"),
            (b'"\\x41"', "not JSON"),
            (b'{"a":1}//', "not JSON"),
        ],
    )
    def test_refused(self, text: bytes, why: str) -> None:
        """Two readings, numbers without bounds, other encodings, and plain mistakes."""
        with pytest.raises(NotStrict, match=why):
            json_decode(text)

    @pytest.mark.parametrize(
        ("text", "value"),
        [(b' {"a" : [1, 2.5, null]}\r\n', {"a": [1, 2.5, None]}), (b'"\\ud83d\\ude00"', "😀"), (b"-0.0", -0.0)],
    )
    def test_accepted(self, text: bytes, value: object) -> None:
        """White space, pairs of surrogates and signs are plain JSON."""
        assert json_decode(text) == value

    def test_depth(self) -> None:
        """The limit itself is allowed, one more is not, in arrays, objects and both."""
        json_decode(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
        json_decode(b'{"a":[' * (MAX_DEPTH // 2) + b"]}" * (MAX_DEPTH // 2))
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"1" + b"}")):
            with pytest.raises(NotStrict, match="nested deeper"):
                json_decode(opening * (MAX_DEPTH + 1) + closing * (MAX_DEPTH + 1))
        with pytest.raises(NotStrict, match="nested deeper"):
            json_decode(b"[" * 100_000)

    def test_breadth_is_no_depth(self) -> None:
        """Neighbours do not add up, and brackets in texts do not count."""
        assert json_decode(b"[" + b"[{}]," * 99 + b"[]]") == [[{}]] * 99 + [[]]
        assert json_decode(b'["' + b"[{" * 99 + b'","\\"[[[[\\\\"]') == ["[{" * 99, '"[[[[\\']
        for depth in range(1, 9):
            json_decode(b"[" * depth + b'"' + b"[" * 99 + b'"' + b"]" * depth)

    @given(st.lists(st.tuples(st.integers(0, MAX_DEPTH + 2), st.sampled_from(["", "[", '{"', "]\\"])), max_size=6))
    def test_the_deepest_place_decides(self, branches: list[tuple[int, str]]) -> None:
        """Of branches of any depths side by side, with brackets in their texts, the deepest counts."""

        def branch(depth: int, text: str) -> object:
            value: object = text
            for number in range(depth):
                value = [value, text] if number % 2 else {text: value}
            return value

        value = [branch(depth, text) for depth, text in branches]
        if max((depth for depth, _ in branches), default=0) < MAX_DEPTH:
            assert json_decode(json_encode(value)) == value
        else:
            with pytest.raises(NotStrict, match="nested deeper"):
                json_decode(json_encode(value))

    def test_a_text_that_never_ends_hides_nothing(self) -> None:
        """An unclosed text is passed over in one step, not tried again from each of its escaped quotes."""
        with pytest.raises(NotStrict, match="not JSON"):
            json_decode(b'"' + b'\\"' * 30_000 + b"[" * (MAX_DEPTH + 1))

    @given(
        st.binary(max_size=60)
        | st.lists(st.sampled_from('{}[]",:\\u0d8aeE+-.1 \x00é'), max_size=60).map("".join).map(str.encode)
    )
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever comes in: a value that can be written again, or `NotStrict` with a short text."""
        try:
            value = json_decode(data)
        except NotStrict as why:
            text = str(why)
        else:
            text = ""
            assert json_decode(json_encode(value)) == value
        assert len(text) < 60

    def test_objects(self) -> None:
        """`json_object` takes objects only."""
        assert json_object(b'{"a":1}') == {"a": 1}
        for text in (b"[]", b'"a"', b"1", b"null", b"true"):
            with pytest.raises(NotStrict, match="not a JSON object"):
                json_object(text)

    @given(
        st.dictionaries(st.text(max_size=3), JSON, max_size=3),
        st.booleans(),
        st.sampled_from([None, 1]),
        st.sampled_from(
            [b"", b" ", b",", b'{"a":1,', b"-", b"0", b"1e5", b"1" * 30, b"1" * 5000, b"\\", b'"', b"\xff"]
        ),
        st.integers(0, 80),
    )
    @example({"a": 2**64}, False, None, b"", 0)
    @example({"a": -0.0, "b": 1e22}, False, 1, b"", 0)
    @example({"\ud83d\ude00": ["\x7f\u2028/"]}, True, None, b"", 0)
    def test_one_answer_by_either_way(
        self, value: dict[str, object], ascii_only: bool, indent: int | None, scar: bytes, place: int
    ) -> None:
        """`json_object` says what `json_decode` says of an object, to the last type, in every spelling."""
        text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
        text = text[:place] + scar + text[place:]
        answers = []
        for read in (json_object, json_decode):
            try:
                answers.append(repr(read(text)))
            except NotStrict:
                answers.append("")
        assert answers[0] == answers[1] or not answers[1].startswith("{")


class TestJsonEncode:
    """Compact JSON, or an error."""

    def test_compact_and_in_order(self) -> None:
        """No white space, members as given, text as UTF-8."""
        assert json_encode({"b": [1, 2], "a": "é"}) == '{"b":[1,2],"a":"é"}'.encode()

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "\ud800", {"\udc00": 1}])
    def test_refuses_what_json_lacks(self, value: object) -> None:
        """NaN, infinities and lone surrogates have no JSON."""
        with pytest.raises(ValueError, match=r"\w"):
            json_encode(value)

    def test_refuses_other_types(self) -> None:
        """Bytes and sets have no JSON."""
        with pytest.raises(TypeError):
            json_encode({"a": b""})

    def test_refuses_what_has_no_end(self) -> None:
        """Circles and towers are a ``ValueError`` too."""
        circle: list[object] = []
        circle.append(circle)
        tower: list[object] = []
        for _ in range(100_000):
            tower = [tower]
        for value in (circle, tower):
            with pytest.raises(ValueError, match=r"\w"):
                json_encode(value)
