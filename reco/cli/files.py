"""File names as users give them."""

import glob
from collections.abc import Iterable
from pathlib import Path

from reco.errors import RecoError
from reco.io.base import no_such_file
from reco.io.remote import is_url


def inputs(names: Iterable[str]) -> list[str | Path]:
    """Files, globs and URLs -> files and URLs, in order; see `expand`."""
    return [path for name in names for path in ([name] if is_url(name) else _expand(name))]


def expand(names: Iterable[str]) -> list[Path]:
    """Files and globs -> files, in order. Raises FormatError where one matches nothing."""
    return [path for name in names for path in _expand(name)]


def _expand(name: str) -> list[Path]:
    found = [name] if Path(name).exists() else sorted(glob.glob(name))
    if not found:
        raise no_such_file(name)
    return [Path(path) for path in found]


def check_free(output: Path, overwrite: bool) -> None:
    """Raises RecoError where a file would be lost."""
    if output.exists() and not overwrite:
        raise RecoError(f"{output}: exists; add --overwrite or choose another output with -o")
