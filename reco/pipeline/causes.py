"""Why events failed, each reason once."""

import re
from dataclasses import dataclass, replace

NAMED = 5
"""Entries that a cause names one by one."""
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Cause:
    """message: of the first event that it stopped. events: how many in all. entries: the first."""

    message: str
    events: int
    entries: tuple[int, ...]

    def __str__(self) -> str:
        more = self.events - len(self.entries)
        noun = "entry" if self.events == 1 else "entries"
        rest = f" and {more} more" if more else ""
        return f"{noun} {', '.join(map(str, self.entries))}{rest}: {self.message}"


class Causes:
    """Failures as they come; two are of one cause when they differ in numbers alone."""

    def __init__(self) -> None:
        self._by_text: dict[str, Cause] = {}

    def add(self, entry: int, message: str) -> None:
        text = _NUMBER.sub("#", message)
        cause = self._by_text.get(text, Cause(message, 0, ()))
        entries = (*cause.entries, entry)[:NAMED]
        self._by_text[text] = replace(cause, events=cause.events + 1, entries=entries)

    def all(self) -> tuple[Cause, ...]:
        """The commonest first."""
        return tuple(sorted(self._by_text.values(), key=lambda cause: -cause.events))
