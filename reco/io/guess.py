"""Which branches of a file are likely to be its hits, for the message about one that names none."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

AXIS = re.compile("[xX]")
NO_HIT = re.compile(
    r"[sS]tart|[eE]nd|[dD]ir|[vV](?:tx|ertex)|[mM]om|[tT]rue|[pP]rim|(^|_)[pP]_?[xX]$"
)
"""In names of positions that are not those of hits."""
VALUES = {
    "charge": re.compile(r"(?i:charge|integral|electron|adc)|(^|_)[nd]?[qQ]($|_)"),
    "energy": re.compile(r"(?i:energy|edep)|(^|_)d?[eE]($|_)|[a-z]E$"),
}
"""Role of the value of a hit -> how it is often called."""
SHORT = {"q": "charge", "e": "energy"}
"""Letter that stands where a position has its axis (hx, hy, hz, hq) -> role."""
NUMBERS = {
    role: re.compile(rf"(?i:(?:{name})_?(?:no|nr|num|number|id|idx|index)?)")
    for role, name in {"run": "run", "subrun": "sub_?run", "event": "ev|evt|event"}.items()
}
"""Role of a number of an event -> how it is often called."""


def options(names: Iterable[str], length: Callable[[str], object]) -> str:
    """`--set` options for the branches that look like hits; "" where none do.

    names: branches with lists of numbers. length: that of the lists of a branch: those of the hits
    are as long as each other.
    """
    known = sorted(names, key=lambda name: (len(name), name))
    places = [p for name in known if not NO_HIT.search(name) and (p := _axes(name, known))]
    places = [p for p in places if len({length(name) for name in p}) == 1]
    found = (
        (p, role, value)
        for p in places
        for role, value in _values(p[0], known)
        if length(value) == length(p[0])
    )
    place, role, value = next(found, (places[0] if places else None, "charge", "NAME"))
    if place is None:
        return ""
    return _options(dict(zip("xyz", place, strict=True)) | {role: value})


def number_options(names: Iterable[str], roles: Sequence[str]) -> str:
    """`--set` options for the branches that look like these numbers of an event, or ""."""
    known = sorted(names, key=lambda name: (len(name), name))
    found = {role: next(filter(NUMBERS[role].fullmatch, known), None) for role in roles}
    return _options({role: name for role, name in found.items() if name})


def _options(roles: dict[str, str]) -> str:
    return " ".join(f"--set input.{role}={name}" for role, name in roles.items())


def _axes(name: str, known: list[str]) -> tuple[str, str, str] | None:
    """The names of x, y and z where `name` is that of x."""
    for found in AXIS.finditer(name):
        at, axes = found.start(), "xyz" if found[0] == "x" else "XYZ"
        x, y, z = (name[:at] + axis + name[at + 1 :] for axis in axes)
        if y in known and z in known:
            return x, y, z
    return None


def _values(x: str, known: list[str]) -> list[tuple[str, str]]:
    """(role, branch) of what may be the value beside this x, the most alike first."""
    found = [(role, n) for role, like in VALUES.items() for n in known if like.search(n)]
    found += [
        (role, name)
        for letter, role in SHORT.items()
        for name in (AXIS.sub(letter, x), AXIS.sub(letter.upper(), x))
        if name in known
    ]
    return sorted(found, key=lambda pair: -_alike(pair[1], x))


def _alike(a: str, b: str) -> int:
    """Characters that two names begin with in common."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
