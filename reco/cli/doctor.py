"""`reco doctor`: what this machine offers, what is broken, and what to do about it."""

import os
import platform
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from reco.errors import RecoError

OLDEST_PYTHON = (3, 11)
PIPELINE = "lartpc"
"""The shipped pipeline, whose weights have to be there."""


@dataclass(frozen=True)
class Finding:
    """One line of the report. mend: what to do, "" for nothing. broken: reconstruction suffers."""

    subject: str
    what: str
    mend: str = ""
    broken: bool = False

    def __str__(self) -> str:
        mark = "!!" if self.broken else "--" if self.mend else "ok"
        mend = f"\n{'':<22}{self.mend}" if self.mend else ""
        return f"{mark}  {self.subject:<18}{self.what}{mend}"


def examine() -> int:
    """Print all findings as they come; 1 where something is broken, else 0."""
    broken = 0
    for check in CHECKS:
        for finding in _guarded(check):
            print(finding, flush=True)
            broken += finding.broken
    if broken:
        print(f"\n{broken} broken (!!); -- is optional")
    return int(broken > 0)


def _guarded(check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """A check that itself fails is a finding, not the end of the report."""
    try:
        yield from check()
    except Exception as error:
        subject = check.__name__.strip("_").replace("_", " ")
        yield Finding(subject, f"{type(error).__name__}: {error}", broken=True)


def _machine() -> Iterator[Finding]:
    version = platform.python_version()
    old = sys.version_info < OLDEST_PYTHON
    wanted = ".".join(map(str, OLDEST_PYTHON))
    yield Finding(
        "python", f"{version} ({sys.executable})", f"needs {wanted} or newer" if old else "", old
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    yield Finding("machine", f"{platform.platform()}, {cores} cores, {memory:.0f} GiB of memory")


def _packages() -> Iterator[Finding]:
    import reco

    yield Finding("reco", f"{reco.__version__} ({Path(reco.__file__).parent})")
    try:
        needed = required(metadata.requires("lartpc-reco") or [])
    except metadata.PackageNotFoundError:
        yield Finding("packages", "reco runs without being installed", "pip install -e .")
        return
    for extra, names in needed.items():
        missing = [name for name in names if not is_installed(name)]
        wanted = f"lartpc-reco[{extra}]" if extra else "lartpc-reco"
        what = f"not installed: {', '.join(missing)}" if missing else "all installed"
        subject = f"extra {extra}" if extra else "packages"
        mend = f"pip install '{wanted}'" if missing else ""
        yield Finding(subject, what, mend, bool(missing) and not extra)


def required(requirements: Iterable[str]) -> dict[str, list[str]]:
    """Requirements as the metadata of a package have them -> names by extra ("": always)."""
    needed: dict[str, list[str]] = {"": []}
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        extra = re.search(r"extra == ['\"]([\w-]+)['\"]", requirement)
        if name and name[0] != "lartpc-reco":  # an extra that is made of others
            needed.setdefault(extra[1] if extra else "", []).append(name[0])
    return needed


def is_installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def _torch() -> Iterator[Finding]:
    import torch

    yield Finding("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(number)
            yield Finding(
                "GPU", f"cuda:{number} {facts.name}, {facts.total_memory / 2**30:.0f} GiB"
            )
    elif torch.version.cuda is None:
        yield Finding("GPU", "none: this torch is for the CPU alone")
    else:
        yield Finding("GPU", f"none found (torch is built for CUDA {torch.version.cuda})")


def _numba() -> Iterator[Finding]:
    import numba

    yield Finding("numba", f"{numba.__version__}, {numba.config.NUMBA_NUM_THREADS} threads")
    mend = "set NUMBA_CACHE_DIR to a folder that can be written"
    try:
        from reco.ops.graph import closest_members
    except RuntimeError as error:  # numba finds no place at all
        yield Finding("numba cache", str(error), mend, True)
        return
    folder = Path(closest_members.stats.cache_path)
    if can_write(folder):
        yield Finding("numba cache", str(folder))
    else:
        slow = "cannot be written: every process compiles the kernels anew"
        yield Finding("numba cache", f"{folder} {slow}", mend)


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself where it is not there yet."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK)


def _engines() -> Iterator[Finding]:
    from reco.sparse import BACKENDS
    from reco.sparse.vector import HAS_BFLOAT16

    products = "bf16" if HAS_BFLOAT16 else "fp32: the processor lacks avx512_bf16"
    yield Finding("precision", f"{products}, where run.precision is auto, on the CPU")
    for name, backend in BACKENDS.items():
        there = backend.what if backend.installed else f"{backend.what}: not installed"
        yield Finding(f"engine {name}", there, "" if backend.installed else backend.install)


def _weights() -> Iterator[Finding]:
    from reco import config
    from reco.stages.weights import SHIPPED, find

    yield from shipped_weights(SHIPPED)
    for stage, options in config.load(PIPELINE).stages.items():
        name = options.get("weights")
        if name is not None:
            try:
                find(str(name))
            except RecoError as error:
                yield Finding("weights", f"{PIPELINE}: stage {stage}: {error}", MEND_WEIGHTS, True)


MEND_WEIGHTS = "install reco again, or train: reco train --help"


def shipped_weights(folder: Path) -> Iterator[Finding]:
    """Stage and sha256 of every file of weights in a folder."""
    from safetensors import SafetensorError, safe_open

    from reco.digest import sha256_of

    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, framework="np") as file:
                stage = (file.metadata() or {}).get("stage", "unknown")
        except (SafetensorError, OSError) as error:
            yield Finding("weights", f"{path}: cannot be read ({error})", MEND_WEIGHTS, True)
        else:
            yield Finding("weights", f"{path.stem}: stage {stage}, sha256 {sha256_of(path)}")


def _geant4() -> Iterator[Finding]:
    from reco.simulate.library import DATA_VARIABLE, load

    if not is_installed("geant4-pybind"):
        yield Finding("Geant4", "not installed", "to simulate: pip install 'lartpc-reco[sim]'")
        return
    try:
        load()
    except RecoError as error:
        yield Finding("Geant4", "cannot be used", str(error))
    else:
        version = metadata.version("geant4-pybind")
        yield Finding("Geant4", f"geant4-pybind {version}, data in {os.environ[DATA_VARIABLE]}")


def _folders() -> Iterator[Finding]:
    from reco import config, detector

    for subject, folder in (("detectors", detector.SHARED), ("pipelines", config.SHARED)):
        names = sorted(path.stem for path in folder.glob("*.yaml"))
        what = f"{', '.join(names) or 'none'} ({folder})"
        yield Finding(subject, what, "" if names else "install reco again", not names)


CHECKS = (_machine, _packages, _torch, _numba, _engines, _weights, _geant4, _folders)
