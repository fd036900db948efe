"""The nearest of the words that would have been right."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MOST_NAMED = 50
"""Words that a message lists: a file may have thousands of trees."""


def unknown(problem: str, word: str, allowed: Iterable[str], label: str = "allowed here") -> str:
    """`problem; did you mean 'x'? (allowed here: x, y)`"""
    words = list(allowed)
    return f"{problem}{nearest(word, words)} ({label}: {listed(words)})"


def listed(words: Sequence[str]) -> str:
    """`x, y and 7 more`, or `none`."""
    more = f" and {len(words) - MOST_NAMED} more" if len(words) > MOST_NAMED else ""
    return (", ".join(words[:MOST_NAMED]) or "none") + more


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no word is near."""
    lower = {w.lower(): w for w in words}
    near = get_close_matches(word.lower(), lower, n=1)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""
