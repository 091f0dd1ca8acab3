"""``python -m bench.revocation``."""

from collections.abc import Iterator

from servers.postgres import Postgres

from bench.live.command import main
from bench.live.stand import stand
from bench.revocation import fan_out, latency, many_cutoffs, request_path, storm
from bench.table import Section


def measure(quick: bool, versions: dict[str, str]) -> Iterator[Section]:
    """Everything about SQLite on one authority, the latency on PostgreSQL too."""
    with stand() as authority:
        yield latency.measure(authority, latency.SqliteCommit(), quick=quick)
        yield request_path.measure(authority, quick=quick)
    with Postgres() as server, stand(lambda _: server.create_database()) as authority:
        versions["PostgreSQL"] = server.sql("SHOW server_version")[0][0]
        yield latency.measure(authority, latency.PostgresCommit(server.create_database()), quick=quick)
    with stand() as authority:
        yield from fan_out.measure(authority, quick=quick)
    with stand() as authority:
        yield storm.measure(authority, quick=quick)
    yield from many_cutoffs.measure(quick=quick)


if __name__ == "__main__":
    main("revocation", measure)
