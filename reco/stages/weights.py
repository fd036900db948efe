"""Weight files: safetensors, with what they are and how they were made in the metadata."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from reco.digest import sha256_of
from reco.errors import ConfigError, RecoError
from reco.suggest import unknown

FORMAT = "reco"
SHIPPED = Path(__file__).parent.parent / "weights"


@dataclass(frozen=True)
class Weights:
    """A weight file in memory.

    model: options of the network, by name. training: the record of how it was trained.
    sha256: of the file.
    """

    path: Path
    tensors: Mapping[str, torch.Tensor]
    stage: str
    model: Mapping[str, Any]
    training: Mapping[str, Any]
    sha256: str

    def fill(self, make: Callable[[], nn.Module]) -> nn.Module:
        """A network with these weights. Raises ConfigError where names or shapes differ: before any
        memory is taken, as the sizes of the network are what a file says."""
        shapes = {name: tensor.to("meta") for name, tensor in self.tensors.items()}
        with torch.device("meta"):
            replace(self, tensors=shapes).into(make())
        module = make()
        self.into(module)
        return module

    def into(self, module: nn.Module) -> None:
        """Load into a network. Raises ConfigError where names or shapes differ."""
        try:
            module.load_state_dict(dict(self.tensors))
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise ConfigError(f"{self.path}: weights of another architecture: {reason}") from None


def find(name: str) -> Path:
    """The name of weights that ship with the package, or a path. Raises ConfigError."""
    for path in (SHIPPED / f"{name}.safetensors", Path(name)):
        if os.path.isfile(path):
            return path
    problem = f"weights {name!r}: neither a file nor among those shipped"
    shipped = sorted(p.stem for p in SHIPPED.glob("*.safetensors"))
    raise ConfigError(unknown(problem, Path(name).stem, shipped, "shipped"))


def read(name: str, stage: str | None = None) -> Weights:
    """Raises ConfigError when the file is not a weight file, or not one of this stage, or holds NaN
    or infinite numbers."""
    path = find(name)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: not a safetensors file ({error})") from None
    broken = [key for key, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise ConfigError(f"{path}: NaN or infinite numbers in {broken[0]!r}; the file is damaged")
    if metadata.get("format") != FORMAT:
        raise ConfigError(f"{path}: not written by reco; `reco train` writes files of weights")
    found = metadata.get("stage", "")
    if stage not in (None, found):
        raise ConfigError(f"{path}: weights of stage {found!r}, wanted {stage!r}")
    model, training = (_facts(path, metadata, key) for key in ("model", "training"))
    return Weights(path, tensors, found, model, training, sha256_of(path))


def _facts(path: Path, metadata: Mapping[str, str], key: str) -> dict[str, Any]:
    try:
        facts = json.loads(metadata[key])
    except (KeyError, ValueError):
        facts = None
    if not isinstance(facts, dict):
        raise ConfigError(f"{path}: its metadata say nothing of {key!r}; train the weights again")
    return facts


def write(
    path: Path,
    module: nn.Module,
    stage: str,
    model: Mapping[str, Any],
    training: Mapping[str, Any],
    *,
    half: bool = False,
) -> None:
    """Write under a temporary name and rename. Raises RecoError when the disk refuses.

    half: store the weights of convolutions, nearly all of a file, with 16 bits.
    """
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    if half:
        tensors = {k: v.half() if v.dim() > 2 else v for k, v in tensors.items()}
    metadata = {
        "format": FORMAT,
        "stage": stage,
        "model": json.dumps(dict(model)),
        "training": json.dumps(dict(training)),
    }
    temporary = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())  # the new name must not reach the disk before the bytes
        temporary.replace(path)
    except OSError as error:
        raise RecoError(f"{path}: cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
