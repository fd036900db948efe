"""The nearest of the words that would have been right."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(problem: str, word: str, allowed: Iterable[str], label: str = "allowed here") -> str:
    """`problem; did you mean 'x'? (allowed here: x, y)`"""
    words = list(allowed)
    return f"{problem}{nearest(word, words)} ({label}: {', '.join(words) or 'none'})"


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing where no word is near."""
    lower = {w.lower(): w for w in words}
    near = get_close_matches(word.lower(), lower, n=1)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""
