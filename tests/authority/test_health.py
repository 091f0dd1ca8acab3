"""Life signs and the wall around everything else."""

import pytest
from httpx2 import AsyncClient
from tests.authority.helpers import code, good

from watchword.authority.authority import Authority
from watchword.authority.log.source import DatabaseSource
from watchword.guard.source import boot_clock


async def test_a_fresh_authority_lives_and_is_ready(http: AsyncClient) -> None:
    """Both probes answer 200 after the first start."""
    assert good(await http.get("/livez")) == {"status": "live"}
    assert good(await http.get("/readyz"))["status"] == "ready"


async def test_who_lets_nobody_in_is_not_ready(
    authority: Authority, http: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While our own guard knows too little, a load balancer sends its requests elsewhere; nobody restarts us."""
    monkeypatch.setattr(DatabaseSource, "clock", staticmethod(lambda: boot_clock() + 31))
    refusal = await http.get("/readyz")
    assert (refusal.status_code, code(refusal), int(refusal.headers["retry-after"]) > 0) == (503, "guard_stale", True)
    assert good(await http.get("/livez")) == {"status": "live"}
    await authority.source.catch_up()
    assert good(await http.get("/readyz"))["status"] == "ready"


async def test_no_row_is_no_entry(http: AsyncClient) -> None:
    """A path that is in no row of the table is refused to whoever asks."""
    assert code(await http.get("/nothing")) == "no_token"
