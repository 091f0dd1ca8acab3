"""Where a token may be, and how it must look there."""

import pytest

from watchword import Refused
from watchword.guard.bearer import bearer_token


@pytest.mark.parametrize("field", [b"Bearer a.b.c", b"bearer a.b.c", b"BEARER   a.b.c", b" Bearer a.b.c\t"])
def test_read(field: bytes) -> None:
    """The scheme has no case; spaces do not matter."""
    assert bearer_token([field]) == "a.b.c"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ([], "no_token"),
        ([b""], "no_token"),
        ([b"Bearer"], "no_token"),
        ([b"Bearer "], "no_token"),
        ([b"Basic YTpi"], "no_token"),
        ([b"a.b.c"], "no_token"),
        ([b"BearerX a.b.c"], "no_token"),
        ([b"Bearer\xa0a.b.c"], "no_token"),
        ([b"Token a.b.c"], "no_token"),
        ([b"Bearer a.b.c", b"Bearer a.b.c"], "ambiguous_credentials"),
        ([b"Basic YTpi", b"Bearer a.b.c"], "ambiguous_credentials"),
        ([b"", b"Bearer a.b.c"], "ambiguous_credentials"),
        ([b"Bearer a.b.c, Bearer d.e.f"], "ambiguous_credentials"),
        ([b"Bearer a.b.c d.e.f"], "token_malformed"),
        ([b"Bearer a.b.c="], "token_malformed"),
        ([b'Bearer "a.b.c"'], "token_malformed"),
        ([b"Bearer a.b.c\n"], "token_malformed"),
        ([b"Bearer a\x00.b.c"], "token_malformed"),
        ([b"Bearer \xff.b.c"], "token_malformed"),
    ],
)
def test_refused(fields: list[bytes], code: str) -> None:
    """Exactly one field, the one scheme, exactly one token."""
    with pytest.raises(Refused) as refused:
        bearer_token(fields)
    assert refused.value.code == code


def test_nothing_else_is_passed_over() -> None:
    """Beside space and tab, nothing around the field's value is dropped: not in front, and not at its end."""
    for other in set(range(256)) - set(b" \t"):
        sign = bytes([other])
        with pytest.raises(Refused):
            bearer_token([sign + b"Bearer a.b.c"])
        if sign.isalnum() or sign in b"-_.":
            assert bearer_token([b"Bearer a.b.c" + sign]) == "a.b.c" + sign.decode()
        else:
            with pytest.raises(Refused):
                bearer_token([b"Bearer a.b.c" + sign])
