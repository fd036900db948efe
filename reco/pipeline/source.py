"""Where events come from: a file of a known format, or products stored by an earlier run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from reco.data.bundle import Bundle
from reco.data.product import Product
from reco.data.products import Header, Hits
from reco.errors import ConfigError
from reco.io.base import Closing
from reco.io.branches import Branches
from reco.io.native import NativeReader
from reco.io.recognise import open_input
from reco.io.store import PRODUCTS, StoredProducts


class Source(Closing, Protocol):
    """Random access to the products of one file; `len` is its number of events.

    kinds: types of products that every read gives. provenance: how the file was made, as far as
    it says so itself.
    """

    path: str | Path
    kinds: tuple[type[Product], ...]
    format: str
    provenance: Mapping[str, Any]

    def __len__(self) -> int: ...

    def read(self, start: int, stop: int) -> Bundle: ...


class FileSource(Closing):
    """Events of a file of any format that `reco.io` recognises."""

    def __init__(self, path: str | Path, branches: Branches) -> None:
        self.path = path
        self._reader = open_input(path, branches)
        description = self._reader.describe()
        self.format = description.format
        self.provenance: Mapping[str, Any] = {}
        if isinstance(self._reader, NativeReader):
            self.provenance = self._reader.store.provenance
        truth = tuple(kind for kind in PRODUCTS if kind.__name__ in description.truth)
        self.kinds = (Header, Hits, *truth)

    def __len__(self) -> int:
        return len(self._reader)

    def read(self, start: int, stop: int) -> Bundle:
        return Bundle(tuple(self._reader.read(start, stop)))

    def close(self) -> None:
        self._reader.close()


class StoredSource(Closing):
    """Events of a native file: all the products that it holds."""

    def __init__(self, path: Path) -> None:
        self.path: str | Path = path
        self._stored = StoredProducts(path)
        self.kinds = self._stored.products
        self.format = "reco"
        self.provenance: Mapping[str, Any] = self._stored.provenance
        if Header not in self.kinds:
            self._stored.close()
            raise ConfigError(f"{path}: holds no event numbers, so no run can go on from it")

    def __len__(self) -> int:
        return len(self._stored)

    def read(self, start: int, stop: int) -> Bundle:
        return Bundle(tuple(self._stored.read(start, stop)))

    def close(self) -> None:
        self._stored.close()


def open_source(path: str | Path, branches: Branches, *, stored: bool = False) -> Source:
    """Open an input, recognised by its content.

    stored: go on from the products of a native file, all of them, and refuse any other file.
    """
    return StoredSource(Path(path)) if stored else FileSource(path, branches)
