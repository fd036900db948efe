"""What every reader offers, and how a reader says what is wrong with a file."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, cast

import numpy as np

from reco.data.product import Product
from reco.data.products import Quantity
from reco.data.ragged import Array
from reco.errors import FormatError, InputError, RecoError
from reco.suggest import nearest

CORRUPT = "the file is probably truncated or corrupt: copy or make it again"
HEAD = 512
"""Bytes by which a file is told."""
CAUSE_LENGTH = 160
"""Characters kept of what a library said about a broken file."""


@dataclass(frozen=True)
class Description:
    """What a file is, before any event is read.

    format: name of the format. n_events: entries of the file. quantity: what a hit's value is.
    truth: the products of truth the file has, by name. branches: (role, where it is read from).
    units: that the numbers of the file are in, before they are made cm, us, MeV or ke. extent: the
    volume the file itself speaks of, "" where it does not. notes: what to know.
    """

    format: str
    path: str
    n_events: int
    quantity: Quantity
    truth: tuple[str, ...]
    branches: tuple[tuple[str, str], ...]
    units: str = ""
    extent: str = ""
    notes: tuple[str, ...] = ()


class Closing(Protocol):
    """What is closed at the end of a `with`."""

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Reader(Closing, Protocol):
    """Random access to the events of one file; `len` is their number."""

    def describe(self) -> Description: ...

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> tuple[Product, ...]:
        """Events start to stop - 1: Header, Hits, and the products of truth the file has.

        Raises FormatError that names the entry when one of them cannot be read, and InputError
        when the range is empty or outside the file.
        """
        ...


class EventReader(Closing, ABC):
    """A Reader made of one method that gives the products of each event of a range."""

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def describe(self) -> Description: ...

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        """The products of each event, the same kinds for all events of the file."""

    def read(self, start: int, stop: int) -> tuple[Product, ...]:
        if not 0 <= start < stop <= len(self):
            raise InputError(
                f"{self.path}: entries {start} to {stop} asked for, the file has {len(self)}"
            )
        with guard(self.path, span(start, stop)):
            return join(self.events(start, stop))


@dataclass(frozen=True)
class Entry:
    """Where in a file something stands; makes the errors about it."""

    path: str
    number: int

    def error(self, branch: str, what: str, todo: str = CORRUPT) -> FormatError:
        return FormatError(f"{self.path}: entry {self.number}: branch {branch!r} {what}; {todo}")


def span(start: int, stop: int) -> str:
    return f"entry {start}" if stop == start + 1 else f"entries {start} to {stop - 1}"


def first_bytes(path: str) -> bytes:
    """Of a local file, by which it is told. Raises FormatError where there are none."""
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except FileNotFoundError:
        raise no_such_file(path) from None
    except IsADirectoryError:
        raise FormatError(f"{path}: is a folder; give one of the files in it") from None
    except OSError as error:
        raise FormatError(f"{path}: cannot be opened ({error.strerror})") from None
    if not head:
        raise FormatError(f"{path}: is empty (0 bytes); copy or make it again")
    return head


def no_such_file(path: str) -> FormatError:
    """The error, with the file beside it whose name is nearest."""
    folder, name = os.path.split(path)
    try:
        beside = os.listdir(folder or ".")
    except OSError:  # it is not there either, or may not be listed
        beside = []
    return FormatError(f"{path}: no such file{nearest(name, beside)}")


@contextmanager
def guard(path: str, where: str) -> Iterator[None]:
    """Turn whatever a library throws at broken bytes into a FormatError.

    uproot, h5py and the codecs below them raise exceptions of many kinds on corrupt input, so
    nothing narrower than Exception would do.
    """
    try:
        yield
    except InputError as error:  # of a product, which does not know where its rows come from
        raise FormatError(f"{path}: {where}: {error}; {CORRUPT}") from error
    except RecoError:
        raise
    except Exception as error:
        cause = cause_of(error)
        raise FormatError(f"{path}: {where}: cannot be read ({cause}); {CORRUPT}") from error


def cause_of(error: Exception) -> str:
    """What a library said, with its kind, in one line of CAUSE_LENGTH at most."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:CAUSE_LENGTH]


def join(events: Sequence[tuple[Product, ...]]) -> tuple[Product, ...]:
    """Products of single events -> the same products of all of them."""
    if len(events) == 1:
        return events[0]
    return tuple(cast(Product, type(kind[0]).concat(kind)) for kind in zip(*events, strict=True))


def as_float32(values: Array) -> Array:
    """To float32; what does not fit becomes infinite, for the checks to find."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(values).astype(np.float32)
