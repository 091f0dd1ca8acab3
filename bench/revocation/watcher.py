"""A guard's process: accepts each token that it is told, says so, and then says when it first refused it."""

import json
import sys
import time

from bench.live.processes import survive_interrupts
from watchword import Guard, Refused
from watchword.guard.guard import START_TIME

_PAUSE = 0.0001  # seconds: a loop without a pause would keep the interpreter from the guard's own thread


def main() -> None:
    """Until the input ends."""
    survive_interrupts()
    guard = Guard(**json.loads(sys.stdin.readline()))
    guard.start()
    guard._source.wait(START_TIME)
    for line in sys.stdin:
        token = line.strip()
        guard.verify(token)
        print("accepted", flush=True)
        print(_first_refusal(guard, token), flush=True)
    guard.stop()


def _first_refusal(guard: Guard, token: str) -> float:
    while True:
        try:
            guard.verify(token)
        except Refused as refusal:
            refused = time.monotonic()
            if refusal.code != "token_revoked":
                raise
            return refused
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main()
