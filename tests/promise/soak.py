"""Many runs of the machine, a batch at a time, each batch from a seed of its own: ``python -m tests.promise.soak``.

SOAK_RUNS says how many (100,000), JOBS in how many processes (one for each processor). What fails names its seed, and
SEED= makes that batch again and shortens what it finds.
"""

import os
import random
import sys
import time
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed

from tests.promise.machine import Promise
from tests.promise.run import run

BATCH = 250


def batch(number: int) -> str | None:
    """One batch; what it found, or None."""
    try:
        run(Promise, BATCH, number=number)
    except Exception:  # noqa: BLE001 - whatever it is, it is a finding
        return traceback.format_exc(limit=-2)
    return None


def main() -> int:
    """Run them all; 1 at the first failure."""
    if "SEED" in os.environ:
        run(Promise, BATCH, number=int(os.environ["SEED"]), shrink=True)
        print(f"nothing was found in the {BATCH} runs of this seed", flush=True)
        return 0
    runs, jobs = int(os.environ.get("SOAK_RUNS", "100000")), int(os.environ.get("JOBS", os.cpu_count() or 1))
    seeds = [random.getrandbits(40) for _ in range(-(-runs // BATCH))]
    begun, done = time.monotonic(), 0
    with ProcessPoolExecutor(jobs) as pool:
        waiting = {pool.submit(batch, number): number for number in seeds}
        for finished in as_completed(waiting):
            found, done = finished.result(), done + BATCH
            if found is not None:
                print(f"\n{found}\nto see it again, shortened: make soak SEED={waiting[finished]}", flush=True)
                pool.shutdown(
                    cancel_futures=True
                )  # waits for what runs, or leaving the block would take the cancelling back
                return 1
            pace = done / (time.monotonic() - begun)
            left = max(0, runs - done) / pace / 60
            print(f"\r{done:,} runs, {pace:.0f} a second, {left:.0f} min left ", end="", flush=True)
    print(f"\nthe promise held in {done:,} runs of 40 steps", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
