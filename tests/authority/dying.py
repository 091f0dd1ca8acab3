"""A process that serves one request and is killed by SIGKILL in the middle of it.

It reads what to do from standard input, and writes how many transactions were committed until then.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any

from tests.authority.crashing import Crash, Drop, install
from tests.authority.scenes import OPERATIONS, Stage, asked, served

from watchword.authority.settings import Settings


async def _run(settings: Settings, stage: Stage, name: str, at: int) -> None:
    def killed(_: Drop) -> None:
        sys.stdout.write(f"{crash.commits}\n")
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    crash = Crash(at, killed)
    async with served(settings, stage) as scene:
        await asked(scene, OPERATIONS[name], crash)


if __name__ == "__main__":
    given: dict[str, Any] = json.load(sys.stdin)
    install(setattr)
    asyncio.run(_run(Settings(**given["settings"]), Stage(**given["stage"]), given["name"], given["at"]))
