"""Life signs and the wall around everything else."""

from httpx2 import AsyncClient
from tests.authority.helpers import code, good


async def test_a_fresh_authority_lives_and_is_ready(http: AsyncClient) -> None:
    """Both probes answer 200 after the first start."""
    assert good(await http.get("/livez")) == {"status": "live"}
    assert good(await http.get("/readyz"))["status"] == "ready"


async def test_no_row_is_no_entry(http: AsyncClient) -> None:
    """A path that is in no row of the table is refused to whoever asks."""
    assert code(await http.get("/nothing")) == "no_token"
