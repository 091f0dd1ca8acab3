"""``python -m bench``: measure, print the table, keep the results, and write them into the documentation if asked."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bench import docs, environment, hostile, memory, over_http, policy, seen_before, sign, verify, wall, workers
from bench.measure import pin
from bench.table import Section, as_text

_ALONE: Final[dict[str, Callable[[], list[Section]]]] = {
    "sign": sign.measure,
    "wall": wall.measure,
    "policy": policy.measure,
    "memory": memory.measure,
    "hostile": hostile.measure,
}
_WITH_PEERS: Final = {"verify": verify.measure, "seen-before": seen_before.measure}
_HTTP: Final = "http"
_KEPT: Final = workers.CACHE / "results.json"


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    subjects = [*_WITH_PEERS, *_ALONE, _HTTP]
    parser.add_argument(
        "subjects", nargs="*", metavar="SUBJECT", help=f"of {', '.join(subjects)}; all but http if none"
    )
    parser.add_argument("--json", type=Path, default=_KEPT, help="where the results are kept, and added to")
    parser.add_argument("--write-docs", action="store_true", help="write the kept results into the documentation")
    given = parser.parse_args()
    chosen: list[str] = given.subjects or subjects[:-1]
    if unknown := set(chosen) - set(subjects):
        parser.error(f"unknown subject: {', '.join(sorted(unknown))}")

    begun = time.monotonic()
    kept = json.loads(given.json.read_text()) if given.json.exists() else {"environment": {}, "sections": {}}
    kept["environment"] |= environment.describe()
    print("\n".join(f"{name}: {value}" for name, value in kept["environment"].items()))
    print(f"load average at the start: {environment.load()}\n")
    for section in _sections(chosen, kept["environment"]):
        print(as_text(section), flush=True)
        kept["sections"][section.key] = section.to_json()
    given.json.write_text(json.dumps(kept, indent=1))
    print(f"{time.monotonic() - begun:.0f} s; load average at the end: {environment.load()}; results in {given.json}")
    if given.write_docs:
        docs.write(kept["environment"], {key: Section.from_json(values) for key, values in kept["sections"].items()})


def _sections(chosen: list[str], versions: dict[str, str]) -> Iterator[Section]:
    if _HTTP in chosen:
        yield from over_http.measure()
    pin()
    if peered := [name for name in _WITH_PEERS if name in chosen]:
        with workers.peers() as peers:
            versions |= {name: worker.started.version for name, worker in peers.items()}
            for name in peered:
                yield from _WITH_PEERS[name](peers)
    for name, measure in _ALONE.items():
        if name in chosen:
            yield from measure()


if __name__ == "__main__":
    main()
