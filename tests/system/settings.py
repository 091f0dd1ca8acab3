"""Settings that make processes quick, not weak in what is tested."""

from typing import Final

FAST: Final = {
    "WATCHWORD_PASSWORD_MEMORY_KIB": "8",
    "WATCHWORD_PASSWORD_ROUNDS": "1",
    "WATCHWORD_REFRESH_GRACE": "1",
}
