"""The pipeline file: one schema, checked in full before any weight is loaded.

A file may start from another one (`base: other.yaml`, one level), and `--set a.b=c` changes a
value of either. Unknown keys are refused with their path and the keys that are allowed there.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reco.errors import ConfigError
from reco.io.branches import Branches
from reco.schema import keys_at, parse_yaml, read_yaml, shown, validate
from reco.stages import STAGES, check_name
from reco.suggest import unknown

SHARED = Path(__file__).parent / "_share" / "pipelines"
"""Folder of the pipelines that come with the package."""

Tree = dict[str, Any]
"""What a YAML file holds, before it is checked."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunConfig(_Schema):
    """How to compute. No result depends on the batch size; threads and device change floats only
    by rounding (1e-7 of a score), precision by more (1e-2 of a score).

    batch_size: events that pass through a stage together. device: `auto` takes the GPU when there
    is one. threads: of the CPU; 0: all cores. precision: of the products in the U-Net, whose sums
    are fp32 in any case; `auto` takes bf16 where the processor or the GPU has it.
    """

    batch_size: Annotated[int, Field(ge=1, le=65536)] = 16
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    threads: Annotated[int, Field(ge=0, le=4096)] = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class OutputConfig(_Schema):
    """internal: also write what only later stages need, so that `--from` can go on from the file.

    Left out: only when a run is stopped early with `--until`.
    """

    internal: bool | None = None


class PipelineConfig(_Schema):
    """A pipeline file.

    detector: name of a shipped detector, or path of its YAML file. input: which branch plays
    which role, see `reco.io.branches.Branches`. stages: name -> options of that stage, which the
    stage checks itself.
    """

    detector: str = "generic"
    input: Branches = Branches()
    stages: dict[str, Tree] = {}
    run: RunConfig = RunConfig()
    output: OutputConfig = OutputConfig()


def load(path: str | Path, overrides: Iterable[str] = ()) -> PipelineConfig:
    """Read a pipeline: a path, or the name of a shipped one (`lartpc`).

    overrides: `key.path=value` each, the value written as in YAML. Raises ConfigError.
    """
    file = find(path)
    tree = _with_base(file)
    overrides = tuple(overrides)
    for override in overrides:
        assign(tree, override)
    with blaming(overrides, str(file)):
        return check(tree, str(file), file.parent)


@contextmanager
def blaming(overrides: Sequence[str], source: str) -> Iterator[None]:
    """Where a ConfigError is about a key that `--set` has changed, it names that, and not the file.

    source: what messages call the file.
    """
    try:
        yield
    except ConfigError as error:
        lines = [_blamed(line, overrides, f"{source}: ") for line in str(error).splitlines()]
        raise ConfigError("\n".join(lines)) from None


def _blamed(line: str, overrides: Sequence[str], prefix: str) -> str:
    rest = line.removeprefix(prefix)
    if rest == line:
        return line
    key = rest.partition(": ")[0]
    last = {override.partition("=")[0].strip(): override for override in overrides}
    its = [k for k in last if f"{k}.".startswith(f"{key}.") or key.startswith(f"{k}.")]
    # of several keys below one that is wrong as a whole, those that the message speaks of
    text = rest.partition(" (got ")[0]
    told = [k for k in its if re.search(rf"\b{re.escape(k.rpartition('.')[2])}\b", text)]
    return "".join(f"--set {last[k]}: " for k in told or its) + rest if its else line


def of_overrides(overrides: Iterable[str]) -> PipelineConfig:
    """The defaults with these changes; see `load`."""
    tree: Tree = {}
    overrides = tuple(overrides)
    for override in overrides:
        assign(tree, override)
    with blaming(overrides, "--set"):
        return check(tree, "--set")


def check(tree: Tree, source: str = "pipeline", folder: Path = Path()) -> PipelineConfig:
    """The content of a pipeline file -> the checked configuration. Raises ConfigError.

    folder: against which a relative path of a detector is tried first.
    """
    stages = tree.get("stages")
    if isinstance(stages, dict):
        stages = {str(k): v or {} for k, v in stages.items() if v is not False}
        tree = tree | {"stages": stages}
    try:
        config = validate(PipelineConfig, tree, source)
    except ConfigError as error:
        raise ConfigError("\n".join(map(_placed, str(error).splitlines()))) from None
    for name in config.stages:
        try:
            check_name(name)
        except ConfigError as error:
            raise ConfigError(f"{source}: {error}") from None
    if os.path.isfile(folder / config.detector):
        return config.model_copy(update={"detector": str(folder / config.detector)})
    return config


def _placed(mistake: str) -> str:
    """A key that stands beside the section it belongs to is told where to go."""
    where, told, _ = mistake.partition(": unknown key")
    key = where.rpartition(": ")[2]
    for section in ("stages", "input", "run", "output"):
        below = STAGES if section == "stages" else keys_at(PipelineConfig, [section])
        if told and key in below:
            return f"{where}{told}; did you mean '{section}.{key}'?"
    return mistake


def find(path: str | Path) -> Path:
    """The file of a pipeline: a path, or the name of a shipped one."""
    file = Path(path)
    if os.path.isfile(file):
        return file
    shipped = SHARED / f"{path}.yaml"
    if file.name == str(path) and os.path.isfile(shipped):
        return shipped
    problem = f"pipeline {str(path)!r}: no such file, and not one that is shipped"
    raise ConfigError(unknown(problem, file.stem, names(), "shipped"))


def names() -> list[str]:
    """Names of the shipped pipelines."""
    return sorted(path.stem for path in SHARED.glob("*.yaml"))


def check_until(until: str | None, names: Iterable[str]) -> None:
    """Raises ConfigError where the last stage to run is none of these."""
    names = tuple(names)
    if until is not None and until not in names:
        problem = f"--until {until}: the pipeline has no such stage"
        raise ConfigError(unknown(problem, until, names, "it has"))


def assign(tree: Tree, override: str) -> None:
    """Carry out one `key.path=value` in place. Raises ConfigError when it is not of that form."""
    path, equals, text = override.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(f"--set {override!r}: write it as key.path=value")
    _assign(tree, path.strip(), parse_yaml(text, f"--set {override}"), override)


def _assign(tree: Tree, path: str, value: Any, override: str) -> None:
    # a stage of one's own has dots in its name, so a key that exists is tried as a whole first
    whole = next((k for k in tree if path == k or path.startswith(f"{k}.")), path.split(".")[0])
    rest = path[len(whole) + 1 :]
    if not rest:
        tree[whole] = value
        return
    below = tree.get(whole) or {}
    if not isinstance(below, dict):
        raise ConfigError(f"--set {override}: {whole!r} holds the value {shown(below)}, not keys")
    tree[whole] = below
    _assign(below, rest, value, override)


def _with_base(file: Path) -> Tree:
    tree = read_yaml(file)
    if "base" not in tree:
        return tree
    base_file = _base_of(file, str(tree.pop("base")))
    base = read_yaml(base_file)
    if "base" in base:
        raise ConfigError(f"{base_file}: base: a base cannot have a base of its own")
    return _merge(base, tree)


def _base_of(file: Path, name: str) -> Path:
    beside = file.parent / name
    shipped = SHARED / f"{name.removesuffix('.yaml')}.yaml"
    for candidate in (beside, shipped):
        if os.path.isfile(candidate):
            return candidate
    problem = f"{file}: base: {name!r} is neither beside it nor a shipped pipeline"
    raise ConfigError(unknown(problem, Path(name).stem, names(), "shipped"))


def _merge(base: Tree, over: Tree) -> Tree:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            value = _merge(below, value)
        merged[key] = value
    return merged


def threads(config: RunConfig) -> int:
    """Number of CPU threads to use: as configured, else as OMP_NUM_THREADS (what batch systems and
    torchrun set), else all cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return config.threads or (int(given) if given.isdigit() else 0) or available or 1
