"""Outputs that appear whole or not at all: made under a temporary name, renamed at the end."""

import errno
import os
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import Self

from reco.errors import RecoError

PROVENANCE = "provenance.json"
"""In a folder of tables: how they were made, and unit and meaning of every column."""


class Whole(ABC):
    """A new file or folder, made at `temporary`; it appears at `path` when the block ends well.

    Raises RecoError where there is no folder for it, or the disk refuses.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        if not self.path.parent.is_dir():
            raise RecoError(f"{self.path}: there is no folder {self.path.parent}; make it first")

    def refused(self, error: OSError) -> RecoError:
        """The error for an output that cannot be begun."""
        reason = error.strerror or error
        return RecoError(
            f"{self.path}: cannot write here ({reason}); choose another output with -o"
        )

    def finish(self) -> None:  # noqa: B027  (most have nothing left)
        """What is left to write where all went well."""

    @abstractmethod
    def close(self) -> None:
        """Close what stands at `temporary`; also called after an error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.finish()
            self.close()
            if kind is None:
                _to_disk(self.temporary)
                _replace(self.temporary, self.path)
                _sync(self.path.parent)
        except OSError as failure:
            raise RecoError(f"{self.path}: writing failed ({failure.strerror})") from None
        finally:
            _remove(self.temporary)


def check_replaceable(path: Path) -> None:
    """Raises RecoError for a folder that `reco convert` did not write."""
    if path.is_dir() and any(path.iterdir()) and not (path / PROVENANCE).is_file():
        raise RecoError(
            f"{path}: a folder with other files in it, which would be lost; choose another output"
        )


def _to_disk(made: Path) -> None:
    """A new name may reach the disk before the bytes: after a power cut it would be of a file
    without them."""
    for path in (*made.rglob("*"), made):
        _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some disks cannot be asked
            raise
    finally:
        os.close(handle)


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
