"""One Python for all blocks of a page: runs each file that it is told of, in one namespace, as a reader would."""

import contextlib
import os
import sys
import traceback
from pathlib import Path


def main() -> None:
    """Read the paths of blocks from standard input; for each leave its output, and at last its status, beside it."""
    sys.path.insert(0, str(Path.cwd()))
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line in sys.stdin:
        block = Path(line.rstrip("\n"))
        for member in filter(None, block.with_suffix(".env").read_text("utf-8", "replace").split("\0")):
            name, _, value = member.partition("=")
            os.environ[name] = value
        status = 0
        with block.with_suffix(".out").open("w", buffering=1) as out, contextlib.redirect_stdout(out):
            try:
                exec(compile(block.read_text("utf-8"), str(block), "exec"), namespace)  # noqa: S102 - what it is for
            except Exception:  # noqa: BLE001 - shown to whoever reads the test's failure
                traceback.print_exc(file=out)
                status = 1
        done = block.with_suffix(".new")
        done.write_text(f"{status} {status}\n")
        done.rename(block.with_suffix(".status"))


if __name__ == "__main__":
    main()
