"""What a stage is: a callable from typed products to one new typed product.

The annotations of `__call__` are its whole contract: the planner reads them, and refuses a
missing or a second producer before any weight is loaded.
"""

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, get_type_hints

import torch
from pydantic import BaseModel, ConfigDict

from reco.data.product import Product
from reco.detector import Detector
from reco.errors import ConfigError
from reco.sparse.vector import HAS_BFLOAT16


class StageOptions(BaseModel):
    """Base of the options of a stage: unknown keys are refused, values never change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False
    )


@dataclass(frozen=True)
class Context:
    """What every stage is built with. precision: of large products at inference."""

    detector: Detector
    device: torch.device
    precision: torch.dtype = torch.float32


class Stage(ABC):
    """Base of all stages. Subclasses define `name`, `Options` and an annotated `__call__`.

    optional: left out, silently, where its inputs do not exist (truth in a file of real data).
    """

    name: ClassVar[str]
    optional: ClassVar[bool] = False
    Options: ClassVar[type[StageOptions]] = StageOptions

    def __init__(self, options: StageOptions, context: Context) -> None:
        self.options = options
        self.context = context

    @classmethod
    def signature(cls) -> "Signature":
        """What the stage takes and makes, from the annotations of `__call__`."""
        hints = get_type_hints(cls.__call__)
        output = hints.pop("return")
        return Signature(tuple(hints.values()), output)


@dataclass(frozen=True)
class Signature:
    """inputs, output: types of products."""

    inputs: tuple[type[Product], ...]
    output: type[Product]


def precision_of(name: str, device: torch.device) -> torch.dtype:
    """Of large products at inference. name: auto, fp32 or bf16. Raises ConfigError."""
    has = HAS_BFLOAT16 if device.type == "cpu" else torch.cuda.is_bf16_supported()
    if name == "bf16" and not has:
        raise ConfigError(f"run.precision: bf16 asked for, but {device} lacks it; use auto or fp32")
    return torch.bfloat16 if has and name != "fp32" else torch.float32
