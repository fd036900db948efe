"""Geant4 itself (PyPI `geant4-pybind`) and the cross-section files it reads.

The wheel holds the code without the data sets, and asks for a download on import unless
GEANT4_DATA_DIR is set. `argon/argon.tar.xz` holds what a world of pure argon needs; it is written
by `reco.simulate.argon_data`, and unpacked on first use. Users with the official data sets set
GEANT4_DATA_DIR themselves: their setting wins.
"""

import hashlib
import importlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path
from types import ModuleType

from reco.errors import ConfigError, RecoError

DATA_VARIABLE = "GEANT4_DATA_DIR"
ARCHIVE = Path(__file__).parent / "argon" / "argon.tar.xz"


def load() -> ModuleType:
    """The module geant4_pybind, its data directory set before the import.

    Raises RecoError where the package or one of its system libraries is missing, ConfigError where
    GEANT4_DATA_DIR names no directory.
    """
    chosen = os.environ.get(DATA_VARIABLE)
    if chosen and not Path(chosen).is_dir():
        raise ConfigError(f"{DATA_VARIABLE} is set to {chosen}, which is no directory: unset it")
    os.environ[DATA_VARIABLE] = chosen or str(unpacked())
    try:
        return importlib.import_module("geant4_pybind")
    except ModuleNotFoundError as error:
        raise RecoError('simulation needs Geant4: pip install "lartpc-reco[sim]"') from error
    except ImportError as error:
        raise RecoError(
            f"Geant4 cannot start: {error}. Its wheel needs the system libraries libGL, libX11, "
            "libXext, libXt, libSM and libICE (on Debian: apt install libgl1 libx11-6 libxext6 "
            "libxt6 libsm6 libice6)"
        ) from error


def unpacked(archive: Path = ARCHIVE) -> Path:
    """The directory with the archive's files, unpacked by whichever process comes first.

    It lies in the user's cache, or in the temporary directory where the cache cannot be written,
    under a name made of the archive's content: a new archive gets a new directory.
    """
    name = f"argon-{hashlib.sha256(archive.read_bytes()).hexdigest()[:12]}"
    refusals = []
    for folder in _folders():
        target = folder / name
        if _is_ours(target):
            return target
        try:
            return _unpack(archive, target)
        except OSError as error:
            refusals.append(f"{folder}: {error}")
    raise RecoError(
        f"no place to unpack the argon data of Geant4 ({'; '.join(refusals)}): "
        "set XDG_CACHE_HOME to a directory that can be written"
    )


def _folders() -> list[Path]:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [Path(cache) / "reco", Path(tempfile.gettempdir()) / f"reco-{os.getuid()}"]


def _is_ours(target: Path) -> bool:
    # In a shared temporary directory somebody else could have put other files there.
    return target.is_dir() and target.stat().st_uid in (os.getuid(), 0)


def _unpack(archive: Path, target: Path) -> Path:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=target.name, dir=target.parent))
    try:
        with tarfile.open(archive) as files:
            files.extractall(scratch, filter="data")
        try:
            scratch.rename(target)
        except OSError:
            # Another process was first; a directory with files cannot be replaced.
            if not _is_ours(target):
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
