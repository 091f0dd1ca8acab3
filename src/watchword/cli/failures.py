"""How a command fails: with one problem, told in one line or as JSON."""

from collections.abc import Mapping
from typing import Final

_ABOUT: Final = frozenset({"type", "title", "status", "code"})


class Failed(Exception):
    """The command was refused or could not be done; ``problem`` has the members of RFC 9457, ``code`` among them."""

    def __init__(self, problem: Mapping[str, object]) -> None:
        self.problem = dict(problem)
        super().__init__(str(problem.get("code")))

    @property
    def line(self) -> str:
        """The failure for a person, in one line: what, why, and the code to look up."""
        more = {name: value for name, value in self.problem.items() if name not in _ABOUT and value}
        field, reason = more.pop("field", None), more.pop("reason", None)
        why = [f"{field}: {reason}" if field and reason else str(field or reason or "")]
        why += [f"{name}: {_text(value)}" for name, value in more.items()]
        told = "; ".join(part for part in why if part)
        return f"{self.problem['title']} {f'{told} ' if told else ''}[{self.problem['code']}]"


def failed(code: str, title: str, **more: object) -> Failed:
    """A failure on this side, in the shape of the authority's refusals."""
    return Failed({"title": title, "code": code} | more)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
