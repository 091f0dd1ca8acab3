"""Settings: where they come from, and what is refused."""

from pathlib import Path

import pytest

from watchword.authority.settings import Settings, SettingsError, load_settings

SECRET = "s" * 40


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    """Each source gives way to the one that is nearer to the person who starts the process."""
    file = tmp_path / "watchword.toml"
    file.write_text('port = 1\nhost = "127.0.0.2"\naccess_lifetime = 60\n')
    settings = load_settings({"port": 3}, environ={"WATCHWORD_PORT": "2", "WATCHWORD_HOST": "127.0.0.3"}, file=file)
    assert (settings.port, settings.host, settings.access_lifetime) == (3, "127.0.0.3", 60)


def test_a_variable_can_name_a_file_that_holds_the_value(tmp_path: Path) -> None:
    """Secrets come as files where an orchestrator mounts them; the line's end is not part of the value."""
    (tmp_path / "secret").write_text(SECRET + "\n")
    assert load_settings(environ={"WATCHWORD_SECRET_FILE": str(tmp_path / "x")}).secret_file == str(tmp_path / "x")
    assert load_settings(environ={"WATCHWORD_ISSUER_FILE": str(_write(tmp_path, "https://a"))}).issuer == "https://a"


def _write(folder: Path, text: str) -> Path:
    (folder / "value").write_text(text + "\n")
    return folder / "value"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"WATCHWORD_ISUER": "https://a"}, "issuer"),
        ({"WATCHWORD_PORT": "many"}, "port"),
        ({"WATCHWORD_PORT": "70000"}, "port"),
        ({"WATCHWORD_ISSUER": "http://auth.example"}, "https"),
        ({"WATCHWORD_ISSUER": "https://auth.example/"}, "slash"),
        ({"WATCHWORD_ISSUER": "https://ada@auth.example"}, "issuer"),
        ({"WATCHWORD_ISSUER": "ftp://auth.example"}, "issuer"),
        ({"WATCHWORD_ISSUER": "https://auth.example/" + "x" * 255}, "issuer"),
        ({"WATCHWORD_DATABASE": "mysql://x"}, "database"),
        ({"WATCHWORD_DATABASE_DIRECT": "sqlite:///x.db"}, "database_direct"),
        ({"WATCHWORD_SECRET": "short"}, "secret"),
        ({"WATCHWORD_LOG_LEVEL": "loud"}, "log_level"),
        ({"WATCHWORD_ACCESS_LIFETIME": "600", "WATCHWORD_MAX_LIFETIME": "300"}, "max_lifetime"),
        ({"WATCHWORD_ALGORITHM": "HS256"}, "algorithm"),
        ({"WATCHWORD_CLAIMS": "department, roles"}, "roles"),
        ({"WATCHWORD_ISSUER_FILE": "/nowhere"}, "WATCHWORD_ISSUER_FILE"),
    ],
)
def test_what_cannot_be_used_is_refused_and_named(environ: dict[str, str], named: str) -> None:
    """A misprint in a setting of security does not pass for the default; the message says where to look."""
    with pytest.raises(SettingsError, match=named):
        load_settings(environ=environ)


def test_what_kubernetes_and_guards_set_is_not_a_misprint() -> None:
    """Service links and the credentials of a guard in the same environment are passed over."""
    others = {
        "WATCHWORD_SERVICE_HOST": "10.0.0.1",
        "WATCHWORD_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "WATCHWORD_CLIENT_ID": "orders",
        "WATCHWORD_CLIENT_SECRET": "x",
    }
    assert load_settings(environ=others) == Settings()


def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path) -> None:
    """The file is held to the same names."""
    file = tmp_path / "watchword.toml"
    file.write_text("acces_lifetime = 60\n")
    with pytest.raises(SettingsError, match="did you mean access_lifetime"):
        load_settings(environ={}, file=file)


def test_lists_come_with_commas() -> None:
    """A list in the environment is a text with commas."""
    settings = load_settings(environ={"WATCHWORD_CLAIMS": "tenant, plan", "WATCHWORD_CORS_ORIGINS": ""})
    assert (settings.claims, settings.cors_origins) == (["tenant", "plan"], [])


def test_plain_http_beyond_loopback_has_an_ugly_name() -> None:
    """It is possible where somebody says so in as many words."""
    assert Settings(issuer="http://auth.example", unsafely_allow_plain_http=True).issuer == "http://auth.example"


def test_no_secret_is_shown() -> None:
    """Neither repr nor what the command line prints holds a secret."""
    settings = Settings(secret=SECRET, previous_secret=SECRET)
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.shown())
    assert settings.shown()["secret"] == "(set)"
