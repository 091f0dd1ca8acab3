"""``python -m bench.authority``."""

from collections.abc import Iterator
from contextlib import ExitStack

from servers.postgres import Postgres

from bench.authority import beside_a_storm, peers, sign_ins, tokens
from bench.live.command import main
from bench.live.stand import stand
from bench.table import Section


def measure(quick: bool, versions: dict[str, str]) -> Iterator[Section]:
    """All servers of tokens at once, as they take turns; then sign-ins on SQLite, and the storm on PostgreSQL."""
    with Postgres() as server:
        versions["PostgreSQL"] = server.sql("SHOW server_version")[0][0]
        with ExitStack() as stack:
            subjects = {
                tokens.SQLITE: tokens.ours(stack.enter_context(stand())),
                tokens.POSTGRES: tokens.ours(stack.enter_context(stand(lambda _: server.create_database()))),
            }
            for name, start in peers.SERVERS.items():
                if (found := peers.version(name)) is not None:
                    versions[name] = found
                    subjects[name] = stack.enter_context(start())
            yield tokens.measure(subjects, quick=quick)
        with stand() as authority:
            yield sign_ins.measure(authority, quick=quick)
        with stand(lambda _: server.create_database()) as authority:
            yield beside_a_storm.measure(authority, quick=quick)


if __name__ == "__main__":
    main("authority", measure)
