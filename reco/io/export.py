"""Where tables are written to by `reco convert`: appears whole or not at all."""

import json
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from reco.errors import RecoError
from reco.io.tables import Batch

PROVENANCE = "provenance.json"
"""In a folder of tables: how they were made, and unit and meaning of every column."""


class TableWriter(ABC):
    """Appends batches to a new file or folder under a temporary name, renamed at the end.

    left_out: fields that the format cannot hold, as table.column, known after the first batch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
        self.left_out: tuple[str, ...] = ()
        if not path.parent.is_dir():
            raise RecoError(f"{path}: there is no folder {path.parent}; make it first")

    @abstractmethod
    def write(self, batch: Batch) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Finish what stands at `temporary`; also called after an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
            if kind is None:
                _replace(self.temporary, self.path)
        except OSError as failure:
            raise RecoError(f"{self.path}: writing failed ({failure.strerror})") from None
        finally:
            _remove(self.temporary)


class FolderWriter(TableWriter):
    """A folder with a file or folder per table."""

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        super().__init__(path)
        try:
            self.temporary.mkdir()
            (self.temporary / PROVENANCE).write_text(json.dumps(facts, indent=1, default=str))
        except OSError as error:
            raise RecoError(
                f"{path}: cannot write here ({error.strerror}); choose another output with -o"
            ) from None


def check_replaceable(path: Path) -> None:
    """Raises RecoError for a folder that `reco convert` did not write."""
    if path.is_dir() and any(path.iterdir()) and not (path / PROVENANCE).is_file():
        raise RecoError(
            f"{path}: a folder with other files in it, which would be lost; choose another output"
        )


def _replace(made: Path, path: Path) -> None:
    if path.is_dir():
        check_replaceable(path)
        old = made.with_suffix(".old")
        os.replace(path, old)
        os.replace(made, path)
        shutil.rmtree(old)
    else:
        os.replace(made, path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
