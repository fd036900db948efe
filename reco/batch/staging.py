"""Remote inputs: brought to the disk of the worker, and tried again when the network fails."""

import hashlib
import json
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from reco.errors import FormatError, RecoError
from reco.io.remote import is_url

PAUSES = (1.0, 4.0, 16.0)
"""Seconds between the tries to reach a server."""
FACTS = ("size", "ETag", "LastModified", "Last-Modified", "Content-MD5", "Digest", "mtime")
"""Under the names that HTTP, S3 and others give them."""

T = TypeVar("T")


def identity_of(url: str) -> str:
    """SHA-256 of what the server says of a file: size, time, tag; some say no more than size."""
    try:
        system, path = _system(url)
        facts = system.info(path)
    except Exception as error:  # of any kind: it comes from the libraries behind fsspec
        raise FormatError(f"{url}: cannot be reached ({error!r})") from None
    said = json.dumps({key: str(facts.get(key)) for key in FACTS})
    return hashlib.sha256(said.encode()).hexdigest()


def here(path: str, identity: str) -> Path:
    """A local file as it is; of a URL, a copy on this machine, the last one of which is kept.

    Raises RecoError where the server says something else of the file than when it was submitted.
    """
    return Path(_copy(path, identity).name, "input") if is_url(path) else Path(path)


def has_changed(path: str) -> RecoError:
    return RecoError(f"{path}: has changed since it was submitted; submit again")


@lru_cache(maxsize=1)  # the items of a file follow one another, and disks of workers are small
def _copy(url: str, identity: str) -> "TemporaryDirectory[str]":
    folder = TemporaryDirectory(prefix="reco-")
    path = Path(folder.name, "input")
    _check(url, identity)  # before the bytes, which may be many, and after, as they take a while
    patiently(lambda: _fetch(url, path))
    _check(url, identity)
    return folder


def _check(url: str, identity: str) -> None:
    if patiently(lambda: identity_of(url)) != identity:
        raise has_changed(url)


def _fetch(url: str, path: Path) -> None:
    system, name = _system(url)
    try:
        system.get_file(name, str(path))
        size, wanted = path.stat().st_size, system.info(name).get("size")
    except Exception as error:
        raise FormatError(f"{url}: cannot be copied here ({error!r})") from None
    if wanted is not None and size != wanted:
        raise FormatError(f"{url}: {size} bytes of {wanted} arrived")


def patiently(action: Callable[[], T]) -> T:
    """Carry out an action on a server; FormatError and OSError only after the last try."""
    for pause in PAUSES:
        try:
            return action()
        except (FormatError, OSError):
            time.sleep(pause)
    return action()


def _system(url: str) -> tuple[Any, str]:
    import fsspec

    return fsspec.core.url_to_fs(url)
