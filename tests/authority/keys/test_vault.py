"""The vault: what is wrapped opens under its own secret and label only."""

import os
from pathlib import Path

import pytest

from watchword.authority.keys.vault import Vault, new_secret, open_vault, read_secrets, write_secrets
from watchword.authority.settings import Settings, SettingsError


def test_what_is_wrapped_can_be_unwrapped() -> None:
    """Wrapping hides the text and unwrapping gives it back."""
    vault = Vault(new_secret())
    wrapped = vault.wrap(b"plain", "a key")
    assert b"plain" not in wrapped
    assert vault.unwrap(wrapped, "a key") == b"plain"


def test_nothing_opens_under_another_label_secret_or_after_a_change() -> None:
    """A wrapped key cannot be put in the place of another, nor be tampered with."""
    vault = Vault(new_secret())
    wrapped = vault.wrap(b"plain", "a key")
    changed = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    for opener, text, label in (
        (vault, wrapped, "b"),
        (vault, changed, "a key"),
        (Vault(new_secret()), wrapped, "a key"),
    ):
        with pytest.raises(SettingsError):
            opener.unwrap(text, label)


def test_an_older_secret_still_opens_and_the_newest_wraps() -> None:
    """A rotation that was cut off leaves a database that can be read."""
    old, new = new_secret(), new_secret()
    both = Vault(new, old)
    assert both.unwrap(Vault(old).wrap(b"x", "l"), "l") == b"x"
    assert Vault(new).unwrap(both.wrap(b"y", "l"), "l") == b"y"


def test_the_secrets_file_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """The first start makes the file with mode 0600, and reads the same secret from then on."""
    settings = Settings(database=f"sqlite:///{tmp_path}/w.db")
    open_vault(settings, new=True)
    assert settings.secret_path.stat().st_mode & 0o777 == 0o600
    assert read_secrets(settings) == read_secrets(settings)
    assert [path.name for path in tmp_path.iterdir()] == ["w.secret"]


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """The message says what to do."""
    settings = Settings(database=f"sqlite:///{tmp_path}/w.db")
    open_vault(settings, new=True)
    os.chmod(settings.secret_path, 0o640)
    with pytest.raises(SettingsError, match="chmod 600"):
        open_vault(settings, new=True)


def test_a_lost_secret_of_an_existing_database_is_not_replaced(tmp_path: Path) -> None:
    """A new secret would make the keys unreadable; the operator must bring the old one."""
    settings = Settings(database=f"sqlite:///{tmp_path}/w.db")
    with pytest.raises(SettingsError, match="missing"):
        open_vault(settings)


def test_two_first_starts_agree_on_one_secret(tmp_path: Path) -> None:
    """Whoever comes second takes the secret that is there."""
    write_secrets(tmp_path / "s", ["a" * 40], replace=False)
    write_secrets(tmp_path / "s", ["b" * 40], replace=False)
    assert (tmp_path / "s").read_text().split() == ["a" * 40]


def test_a_short_secret_is_refused() -> None:
    """Below 32 characters a secret could be guessed."""
    with pytest.raises(SettingsError, match="32"):
        Vault("x" * 31)


def test_repr_shows_no_secret() -> None:
    """A vault in a log line tells how many secrets it has and nothing else."""
    secret = new_secret()
    assert secret not in repr(Vault(secret))
