"""One run at a time writes an output, and clears away what a killed one left."""

import os
import platform
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from reco.errors import RecoError

try:
    import fcntl
except ImportError:  # not a POSIX system: the rename at the end still keeps the output whole
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold `output` for the block; RecoError when another run does.

    The lock is the operating system's own: it goes with the process, however that ends. The file
    that carries it says who holds it.
    """
    if fcntl is None:
        yield
        return
    path = output.with_name(f".{output.name}.lock")
    handle = _acquire(path, output)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _acquire(path: Path, output: Path) -> int:
    while True:
        try:
            handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            if path.is_symlink():  # in a shared folder it may lead to a file of whoever runs this
                raise RecoError(f"{path}: is a link where a lock must be; remove it") from None
            raise RecoError(
                f"{output}: cannot write here ({os.strerror(error.errno or 0)}); choose another "
                "output with -o"
            ) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(handle, 200, 0).decode(errors="replace")
            os.close(handle)
            raise RecoError(
                f"{output}: another run{owner} is writing it; wait for it or choose another output"
            ) from None
        except OSError as error:  # a file system without locks, as some of clusters are
            warnings.warn(
                f"{output}: no locks here ({error.strerror}); see that no other run writes it",
                stacklevel=4,
            )
            return handle
        if _is_at(handle, path):
            _take(handle, output)
            return handle
        os.close(handle)  # the run before removed the file between opening and locking it


def _take(handle: int, output: Path) -> None:
    """Say whose the output is now, and remove what a dead run left unfinished."""
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f" (process {os.getpid()} on {platform.node()})".encode(), 0)
        for left in output.parent.glob(f".{escape(output.name)}.*.part"):
            left.unlink(missing_ok=True)
    except OSError:
        pass  # a full disk keeps no one from writing elsewhere; the writer will say so


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False
