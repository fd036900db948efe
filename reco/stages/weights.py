"""Weight files: safetensors, with what they are and how they were made in the metadata."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from reco.errors import ConfigError, RecoError

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

    def into(self, module: nn.Module) -> None:
        """Load into a network. Raises ConfigError where names or shapes differ."""
        try:
            module.load_state_dict(dict(self.tensors))
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip()
            raise ConfigError(f"{self.path}: weights of another architecture: {reason}") from None


def find(name: str) -> Path:
    """A path, or the name of weights that ship with the package. Raises ConfigError."""
    for path in (Path(name), SHIPPED / f"{name}.safetensors"):
        if path.is_file():
            return path
    known = ", ".join(sorted(p.stem for p in SHIPPED.glob("*.safetensors"))) or "none"
    raise ConfigError(f"weights {name!r}: neither a file nor among those shipped ({known})")


def read(name: str, stage: str) -> Weights:
    """Raises ConfigError when the file is not a weight file of this stage."""
    path = find(name)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: not a safetensors file ({error})") from None
    if metadata.get("stage") != stage:
        raise ConfigError(f"{path}: weights of stage {metadata.get('stage')!r}, wanted {stage!r}")
    return Weights(
        path,
        tensors,
        stage,
        json.loads(metadata["model"]),
        json.loads(metadata["training"]),
        hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def write(
    path: Path,
    module: nn.Module,
    stage: str,
    model: Mapping[str, Any],
    training: Mapping[str, Any],
) -> None:
    """Write under a temporary name and rename. Raises RecoError when the disk refuses."""
    tensors = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    metadata = {
        "format": "reco",
        "stage": stage,
        "model": json.dumps(dict(model)),
        "training": json.dumps(dict(training)),
    }
    temporary = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(save(tensors, metadata))
        temporary.replace(path)
    except OSError as error:
        raise RecoError(f"{path}: cannot be written ({error.strerror})") from None
