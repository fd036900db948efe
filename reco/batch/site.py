"""Sites: where the workers run, as YAML. A job of a queue is one worker, with one GPU or none."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from reco.errors import ConfigError
from reco.schema import read_yaml, validate
from reco.suggest import unknown

SHARED = Path(__file__).parents[1] / "_share" / "sites"
"""Folder of the sites that come with the package."""
LOGS = "logs"

Line = Annotated[str, StringConstraints(pattern=r"^[^\r\n\x00]+$")]
"""Text that goes into a job script: one line, so that it stays what it is there."""
Word = Annotated[str, StringConstraints(pattern=r"^\w[\w.,:@+/-]*$")]
"""Stands in a command or an option without quotes: means nothing but itself to a shell."""
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Memory = Annotated[str, StringConstraints(pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$")]
Attribute = Annotated[str, StringConstraints(pattern=r"^\+?[A-Za-z_][\w.]*$")]
"""Of HTCondor, whose submit files can also run commands (`include command : ...`)."""
Value = Annotated[str, StringConstraints(pattern=r"^[^\r\n\x00]*[^\s\x00\\]$")]
"""Of such an attribute: a line that does not go on in the next one."""
FOLDER = re.compile(r"[\w@+=:,./~-]+")
"""Paths that mean themselves in a command and to a queue, for Dask does not quote them."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Container(_Schema):
    """image: a file or a URL that the runtime knows. bind: folders to see inside, `FROM[:TO]`; the
    output folder is among them in any case."""

    image: Line
    bind: tuple[Line, ...] = ()
    runtime: Literal["apptainer", "singularity"] = "apptainer"


class Local(_Schema):
    """Processes on this machine. workers: 0: one per GPU, or without one, one per core."""

    kind: Literal["local"]
    workers: Annotated[int, Field(ge=0, le=4096)] = 0
    threads: Annotated[int, Field(ge=1, le=4096)] = 1
    memory: Memory | None = None


class _Queue(_Schema):
    """jobs: kept in the queue until all is done. cores, memory, gpus: of each. environment: set in
    the job. interface: of the network, such as ib0, over which workers reach the submitter."""

    jobs: Annotated[int, Field(ge=1, le=100_000)]
    cores: Annotated[int, Field(ge=1, le=4096)] = 1
    memory: Memory = "4GB"
    gpus: Literal[0, 1] = 0
    environment: dict[Name, Line] = {}
    container: Container | None = None
    interface: Word | None = None

    def common(self, folder: Path) -> dict[str, Any]:
        """Options of every kind of queue, as dask-jobqueue names them. Raises ConfigError."""
        if not FOLDER.fullmatch(str(folder)):
            raise ConfigError(
                f"{str(folder)!r}: jobs need an output folder with only letters, digits and "
                "@+=:,./~_- in its path; choose another with -o"
            )
        # Dask pauses a worker whose memory is nearly full, and it might never go on; its profiler
        # looks at the worker a hundred times a second
        unwanted = ("MEMORY__PAUSE", "PROFILE__ENABLED")
        dask = {f"DASK_DISTRIBUTED__WORKER__{name}": "False" for name in unwanted}
        always = _threads(self.cores) | dask
        exports = [
            f"export {name}={shlex.quote(value)}"
            for name, value in (always | self.environment).items()
        ]
        return {
            "cores": 1,  # of Dask: items at a time
            "processes": 1,
            "memory": self.memory,
            "interface": self.interface,
            "job_name": "reco",
            "job_script_prologue": exports,
            "python": self._python(folder),
        }

    def _python(self, folder: Path) -> str:
        if self.container is None:
            return shlex.quote(sys.executable)
        gpu = ["--nv"] if self.gpus else []
        binds = [w for bind in (*self.container.bind, str(folder)) for w in ("--bind", bind)]
        return shlex.join(
            [self.container.runtime, "exec", *gpu, *binds, self.container.image, "python"]
        )


class Slurm(_Queue):
    """queue: partition. directives: more options of sbatch, such as `--constraint=a100`."""

    kind: Literal["slurm"]
    queue: Word | None = None
    account: Word | None = None
    walltime: Annotated[str, StringConstraints(pattern=r"^[\d:-]+$")] = "01:00:00"
    directives: tuple[Line, ...] = ()

    def options(self, folder: Path) -> dict[str, Any]:
        gpu = [f"--gres=gpu:{self.gpus}"] if self.gpus else []
        return self.common(folder) | {
            "job_cpu": self.cores,
            "queue": self.queue,
            "account": self.account,
            "walltime": self.walltime,
            "job_extra_directives": [f"-o {folder / LOGS}/%j.log", *gpu, *self.directives],
        }


class HTCondor(_Queue):
    """disk: of a job. directives: more lines of the submit file, such as `accounting_group: x`."""

    kind: Literal["htcondor"]
    disk: Memory = "4GB"
    directives: dict[Attribute, Value] = {}

    def options(self, folder: Path) -> dict[str, Any]:
        logs = {
            name: f"{folder / LOGS}/$(ClusterId).{name.lower()}"
            for name in ("Log", "Output", "Error")
        }
        gpu = {"request_gpus": str(self.gpus)} if self.gpus else {}
        more = {"RequestCpus": str(self.cores)} | logs | gpu | self.directives
        return self.common(folder) | {"disk": self.disk, "job_extra_directives": more}


class Dask(_Schema):
    """A scheduler that runs already; its workers see the same files, and have one thread each.

    ca, certificate, key: files, for an address that begins with tls://.
    """

    kind: Literal["dask"]
    address: Line
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None


Site = Local | Slurm | HTCondor | Dask
KINDS: dict[str, type[Site]] = {
    "local": Local,
    "slurm": Slurm,
    "htcondor": HTCondor,
    "dask": Dask,
}


def load(name: str) -> Site:
    """A site file, or the name of a shipped one (`local`). Raises ConfigError."""
    path = _find(name)
    tree = read_yaml(path)
    kind = str(tree.get("kind"))
    if kind not in KINDS:
        raise ConfigError(unknown(f"{path}: kind: {kind!r} is no kind of site", kind, KINDS))
    return validate(KINDS[kind], tree, str(path))


def _find(name: str) -> Path:
    for path in (Path(name), SHARED / f"{name}.yaml"):
        if path.is_file():
            return path
    names = ", ".join(sorted(p.stem for p in SHARED.glob("*.yaml")))
    raise ConfigError(f"site {name!r}: no such file, and not a shipped one ({names})")


def with_workers(site: Site, number: int | None) -> Site:
    """The same site with another number of workers. Raises ConfigError for one without."""
    if number is None:
        return site
    if isinstance(site, Dask):
        raise ConfigError("--workers: a Dask scheduler that runs already has its own")
    return site.model_copy(update={"workers" if isinstance(site, Local) else "jobs": number})


def environments(site: Local) -> list[dict[str, str]]:
    """What is set for each worker of this machine."""
    from torch.cuda import device_count

    gpus = device_count()
    threads = _threads(site.threads)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    number = site.workers or gpus or max(1, (cores or 1) // site.threads)
    if not gpus:
        return [threads] * number
    return [threads | {"CUDA_VISIBLE_DEVICES": str(i % gpus)} for i in range(number)]


def _threads(number: int) -> dict[str, str]:
    return {"OMP_NUM_THREADS": str(number), "NUMBA_NUM_THREADS": str(number)}
