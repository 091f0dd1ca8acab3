"""The promise holds in every world that the machine makes; `make soak` makes a hundred thousand of them."""

from tests.promise.machine import Promise
from tests.promise.run import run


def test_the_promise_holds() -> None:
    """Whatever fails: no late acceptance, no needless refusal, agreement at the end, bounded memory."""
    run(Promise, 200)
