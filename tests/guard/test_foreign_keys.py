"""The keys of another issuer as they are known: when they are asked for, how old they are, and what floods do."""

import json
import logging
import math
from collections.abc import Mapping
from typing import Any

import pytest

from watchword import Key, OtherIssuer
from watchword.guard.foreign_keys import MAX_FETCH, PACE, ForeignKeys

ISSUER = "https://partner.example"
REFRESH, KEEP = 300.0, 3600.0


def document(*keys: Key) -> bytes:
    """A JWK Set."""
    return json.dumps({"keys": [key.public.to_jwk() for key in keys]}).encode()


class Scene:
    """A clock, the keys that are known, and a thread that does what they say, at once."""

    def __init__(self, *keys: Key, **settings: Any) -> None:
        self.now = 1000.0
        self.published = document(*keys)
        self.fails = False
        self.fetches: list[float] = []
        self.keys = ForeignKeys(OtherIssuer(ISSUER, audience="orders", **settings), clock=lambda: self.now)

    def fetch(self) -> None:
        """Ask once."""
        asked = self.keys.begin()
        self.fetches.append(asked)
        self.now += 0.05
        if self.fails:
            self.keys.fail("down")
        else:
            self.keys.learn(self.published, asked)

    def run(self, seconds: float, *, flood: float = 0.0) -> None:
        """Let time pass, and fetch what is due; every ``flood`` seconds somebody shows an unknown key."""
        end = self.now + seconds
        while self.now < end:
            if flood:
                self.keys.want()
            if self.keys.left <= 0:
                self.fetch()
            else:
                self.now += min(flood or math.inf, max(0.01, self.keys.left), end - self.now + 1e-6)

    @property
    def names(self) -> list[str]:
        """The keys that are known."""
        known = self.keys.known
        return [] if known is None else [key.kid for key in known.keys]

    def most_in(self, seconds: float) -> int:
        """How many fetches lay within so many seconds at most."""
        return max(sum(begun <= each < begun + seconds for each in self.fetches) for begun in self.fetches)


@pytest.fixture
def scene(keys: Mapping[str, Key]) -> Scene:
    """An issuer that has published two keys."""
    return Scene(keys["ES256"], keys["Ed25519"])


def test_at_once_and_then_each_refresh(scene: Scene) -> None:
    """The first fetch is due at once, the others after the interval, or a tenth earlier so that guards spread."""
    assert scene.keys.left == -math.inf
    scene.run(3000)
    gaps = [later - earlier for earlier, later in zip(scene.fetches, scene.fetches[1:], strict=False)]
    assert all(0.9 * REFRESH <= gap <= REFRESH + 1 for gap in gaps)
    assert max(gaps) - min(gaps) > 5
    assert scene.names == ["test-ES256", "test-Ed25519"]


def test_a_removed_key_stops_within_the_refresh(scene: Scene, keys: Mapping[str, Key]) -> None:
    """What the source has removed is gone after the next fetch."""
    scene.run(10)
    scene.published = document(keys["Ed25519"])
    scene.run(REFRESH + 1)
    assert scene.names == ["test-Ed25519"]


def test_a_flood_of_unknown_keys(scene: Scene) -> None:
    """Ten thousand strangers a minute cause four fetches, and never two within 15 seconds."""
    scene.run(600, flood=0.006)
    assert scene.most_in(60) <= 4
    assert scene.most_in(PACE.early) == 1


def test_a_rotation_in_a_flood(scene: Scene, keys: Mapping[str, Key]) -> None:
    """Strangers cannot keep a new key of the issuer's out for longer than that."""
    scene.run(100, flood=0.01)
    scene.published = document(keys["RS256"])
    scene.run(PACE.early + 1, flood=0.01)
    assert scene.names == ["test-RS256"]


def test_a_rotation_without_a_flood(scene: Scene, keys: Mapping[str, Key]) -> None:
    """One token under a new key brings the next fetch forward to this moment, if the last one is long ago."""
    scene.run(100)
    scene.published = document(keys["RS256"])
    assert scene.keys.want()
    assert not scene.keys.want(), "nobody need be woken twice"
    assert scene.keys.left <= 0
    scene.fetch()
    assert scene.names == ["test-RS256"]
    assert scene.keys.want()
    assert scene.keys.left > PACE.early - 1


def test_a_flood_through_an_outage(scene: Scene) -> None:
    """A source that is down is not asked more often for that."""
    scene.run(100)
    scene.fails = True
    scene.run(1200, flood=0.01)
    assert scene.most_in(60) <= 4


def test_before_the_first(scene: Scene) -> None:
    """While nothing is known the attempts come quickly, and then ever more slowly, to once a minute."""
    scene.fails = True
    scene.run(600)
    gaps = [later - earlier for earlier, later in zip(scene.fetches, scene.fetches[1:], strict=False)]
    assert gaps[0] < 2
    assert 54 <= gaps[-1] < 62
    assert scene.most_in(60) < 9
    assert scene.keys.tried
    assert scene.keys.known is None
    scene.fails = False
    scene.run(62)
    assert len(scene.names) == 2


def test_last_known_good(scene: Scene) -> None:
    """Through an outage the keys work on, until they are an hour old."""
    scene.run(10)
    known = scene.keys.known
    assert known is not None
    scene.fails = True
    scene.run(known.as_of + KEEP - scene.now - 1)
    assert scene.keys.known is known
    assert not scene.keys.too_old(known)
    assert scene.keys.last_error == "down"
    scene.now = known.as_of + KEEP + 1
    assert scene.keys.too_old(known)
    assert scene.keys.age(known) == KEEP + 1
    scene.fails = False
    scene.run(120)
    assert scene.keys.known is not None
    assert not scene.keys.too_old(scene.keys.known)
    assert scene.keys.last_error is None


def test_the_next_outage_begins_anew(scene: Scene) -> None:
    """Its first pause is as short as ever."""
    for fails in (False, *[True] * 9, False, True):
        scene.fails = fails
        scene.fetch()
    assert scene.keys.left == pytest.approx(PACE.early)


def test_overdue(scene: Scene) -> None:
    """An unknown key is a verdict while all is well, and none when the source could not be asked in time."""
    scene.run(10)
    known = scene.keys.known
    assert known is not None
    assert not scene.keys.overdue(known)
    scene.now = known.as_of + REFRESH + MAX_FETCH
    assert not scene.keys.overdue(known)
    scene.now += 1
    assert scene.keys.overdue(known)
    scene.fetch()
    scene.fails = True
    scene.fetch()
    assert scene.keys.known is not None
    assert scene.keys.overdue(scene.keys.known)


def test_the_same_keys_are_the_same_set(scene: Scene, keys: Mapping[str, Key]) -> None:
    """What was verified under them is not verified again, as long as nothing changes at the source."""
    scene.fetch()
    first = scene.keys.known
    scene.published = document(keys["Ed25519"], keys["ES256"])  # in another order
    scene.fetch()
    second = scene.keys.known
    assert first is not None
    assert second is not None
    assert second.keys is first.keys
    assert second.as_of > first.as_of
    scene.published = document(keys["ES256"], Key(keys["Ed25519"]._key, "EdDSA", "test-Ed25519"))
    scene.fetch()
    assert scene.keys.known is not None
    assert scene.keys.known.keys is not first.keys


@pytest.mark.parametrize("text", [b"<html>", b"{}", b'{"keys": 5}'])
def test_a_bad_answer_changes_nothing(scene: Scene, text: bytes) -> None:
    """What is no JWK Set is a failure."""
    scene.fetch()
    before, scene.published = scene.keys.known, text
    scene.fetch()
    assert scene.keys.known is before
    assert scene.keys.last_error is not None


def test_no_keys_at_all(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """An issuer that has withdrawn all is believed, and its guard says so once."""
    scene.fetch()
    scene.published = document()
    with caplog.at_level(logging.WARNING, "watchword.guard"):
        scene.fetch()
        scene.fetch()
    assert scene.names == []
    assert scene.keys.known is not None
    assert len(caplog.records) == 1


def test_a_published_secret(scene: Scene, keys: Mapping[str, Key]) -> None:
    """Whoever has read the set can sign: nothing that this issuer's keys say is believed until it is mended."""
    scene.fetch()
    good = scene.published
    scene.published = json.dumps({"keys": [keys["ES256"].to_jwk()]}).encode()
    scene.fetch()
    assert scene.keys.known is None
    assert "private" in str(scene.keys.last_error)
    scene.published = good
    scene.fetch()
    assert len(scene.names) == 2


def test_names_that_are_given_twice(scene: Scene, keys: Mapping[str, Key], caplog: pytest.LogCaptureFixture) -> None:
    """They are told once, and shown as long as it lasts."""
    members = [keys["ES256"].public.to_jwk(), keys["Ed25519"].public.to_jwk() | {"kid": "test-ES256"}]
    scene.published = json.dumps({"keys": members}).encode()
    with caplog.at_level(logging.WARNING, "watchword.guard"):
        scene.fetch()
        assert scene.keys.ambiguous == ("test-ES256",)
        count = len(caplog.records)
        scene.fetch()
    assert len(caplog.records) == count
    assert "test-ES256" in caplog.text
    scene.published = document(keys["ES256"])
    scene.fetch()
    assert not scene.keys.ambiguous


def test_an_outage_is_told_once(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins, one when it is over."""
    with caplog.at_level(logging.INFO, "watchword.guard"):
        scene.fails = True
        scene.run(600)
        scene.fails = False
        scene.run(600)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_fixed_keys(keys: Mapping[str, Key]) -> None:
    """They are never asked for and never too old."""
    scene = Scene(keys=keys["ES256"].public)
    known = scene.keys.known
    assert known is not None
    assert scene.keys.tried
    assert scene.keys.left == math.inf
    assert not scene.keys.want()
    assert not scene.keys.too_old(known)
    assert not scene.keys.overdue(known)
    assert scene.keys.age(known) == 0
