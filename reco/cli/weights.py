"""`reco weights`: what a file of weights is, and weights that other programs trained."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from reco.cli.files import check_free
from reco.detector import Detector
from reco.digest import sha256_of
from reco.errors import ConfigError, FormatError, InputError
from reco.nn.backbone import Backbone
from reco.nn.peer import State, from_checkpoint
from reco.nn.widen import widen_backbone, widen_input
from reco.stages import find
from reco.stages.base import Context
from reco.stages.graphs import N_NODE_FEATURES
from reco.stages.weights import read, write

FILTERS = {"segment": "filters", "particles": "features", "interactions": "features"}
"""Of the options of a network, the one that is the number of filters of the backbone."""

STAGE = "uresnet"
"""What imported files say of themselves; see reco.nn.peer.PeerUNet."""


def describe(name: str) -> Iterator[str]:
    """Lines about a file of weights, or one of the shipped. Raises ConfigError."""
    weights = read(name)
    numbers = sum(tensor.numel() for tensor in weights.tensors.values())
    yield f"{weights.path}: stage {weights.stage}, sha256 {weights.sha256}"
    yield f"tensors   {len(weights.tensors)}, {numbers:,} numbers"
    yield f"model     {json.dumps(dict(weights.model))}"
    yield f"training  {json.dumps(dict(weights.training))}"


def import_file(
    checkpoint: Path, output: Path, prefix: str | None, slope: float, eps: float, overwrite: bool
) -> Iterator[str]:
    """Write the U-Net of a checkpoint as reco's weights, and tell what it was.

    Raises FormatError for a file that is no checkpoint or no such U-Net, RecoError for an output
    that is there.
    """
    check_free(output, overwrite)
    state = load_state(checkpoint)
    try:
        model, net = from_checkpoint(state, slope, eps, prefix)
    except InputError as error:
        raise FormatError(f"{checkpoint}: {error}") from None
    record = {"imported": checkpoint.name, "sha256": sha256_of(checkpoint), "prefix": prefix}
    write(output, net, STAGE, asdict(model), record)
    left = len(state) - len(net.state_dict())
    yield f"written to {output}: {json.dumps(asdict(model))}"
    yield f"left out: {left} of {len(state)} tensors (counters of batches, other networks)"


def widen_file(name: str, filters: int, seed: int, output: Path, overwrite: bool) -> str:
    """Write weights for a backbone of more filters, to train on; returns what was done.

    Raises ConfigError for weights of a stage that reads none of them, InputError for fewer.
    """
    check_free(output, overwrite)
    narrow = read(name)
    if narrow.stage not in FILTERS:
        raise ConfigError(
            f"{narrow.path}: of stage {narrow.stage!r}; {', '.join(FILTERS)} can grow"
        )
    option = FILTERS[narrow.stage]
    now = narrow.model[option]
    if filters <= now:
        raise InputError(f"--filters {filters}: {narrow.path} has {now}; give more")
    wider = {**narrow.model, option: filters}
    stage: Any = find(narrow.stage)
    context = Context(Detector.load("generic"), torch.device("cpu"))
    made = stage(stage.Options(weights=str(narrow.path)), context)
    before, after = made.module, made.network(stage.Model(**wider))
    generator = torch.Generator().manual_seed(seed)
    if isinstance(before, Backbone):
        widen_backbone(before, after, generator)
    else:
        widen_input(before, after, N_NODE_FEATURES, (now, filters), generator)
    record = {"widened": narrow.sha256, "seed": seed, "training": narrow.training}
    write(output, after, narrow.stage, wider, record)
    return f"written to {output}: for {filters} filters, where it had {now}"


def load_state(checkpoint: Path) -> State:
    """Tensors by name; nothing of the file is executed. Raises FormatError."""
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise FormatError(
            f"{checkpoint}: no checkpoint, or one that holds more than tensors and numbers, which "
            "is not loaded because it could run code; store its state_dict alone with torch.save"
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise FormatError(f"{checkpoint}: cannot be read as a checkpoint ({error})") from None
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise FormatError(f"{checkpoint}: holds no state_dict: tensors by name")
    return state
