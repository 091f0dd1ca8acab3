"""The cursor: a place in the log as it is handed out, opaque and authenticated."""

import hashlib
import hmac
from typing import Final, NamedTuple, Self

from watchword.core.encoding import NotStrict, b64url_decode, b64url_encode

_MAC: Final = 16  # bytes


class Cursor(NamedTuple):
    """A place in one history of one instance, proven by the random mark of the entry there."""

    instance: str
    epoch: str
    born: float
    number: int
    mark: str

    @classmethod
    def open(cls, text: str, key: bytes) -> Self | None:
        """Read a cursor that we handed out; None for anything else, which earns a snapshot."""
        try:
            data = b64url_decode(text.encode())
        except (NotStrict, UnicodeEncodeError):
            return None
        body, mac = data[:-_MAC], data[-_MAC:]
        if not hmac.compare_digest(mac, _mac(body, key)):
            return None
        instance, epoch, born, number, mark = body.decode().split("|")
        return cls(instance, epoch, float(born), int(number), mark)

    def seal(self, key: bytes) -> str:
        """The cursor as we hand it out: opaque, and good for nothing if it is changed."""
        body = f"{self.instance}|{self.epoch}|{self.born!r}|{self.number}|{self.mark}".encode()
        return b64url_encode(body + _mac(body, key))


def _mac(body: bytes, key: bytes) -> bytes:
    return hmac.digest(key, b"cursor\0" + body, hashlib.sha256)[:_MAC]
