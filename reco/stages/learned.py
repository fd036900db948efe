"""What the stages with a network have in common."""

from functools import partial
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn

from reco.errors import ConfigError
from reco.stages import weights
from reco.stages.base import Context, Stage, StageOptions

Width = Annotated[int, Field(ge=1, le=4096)]
"""Channels of a layer."""
Depth = Annotated[int, Field(ge=1, le=64)]
"""Layers, or what else there are a few of."""


class ModelOptions(BaseModel):
    """Base of the options of a network."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LearnedOptions(StageOptions):
    """weights: a file, the name of weights that ship with the package, or null: a fresh network,
    to be trained, of the sizes in `model` (which otherwise come from the weights)."""

    weights: str | None = None


class LearnedStage(Stage):
    """A stage with a network; training uses the same object and the same `prepare`.

    Subclasses define `Model` (options of the network) and `network`.
    """

    Model: ClassVar[type[ModelOptions]]

    def __init__(self, options: LearnedOptions, context: Context) -> None:
        super().__init__(options, context)
        self.weights_sha256: str | None = None
        self.model = self.Model()
        if options.weights is None:
            self.module = self.network(self.model)
        else:
            self._load(options.weights)
        self.module.to(context.device).eval()

    def _load(self, name: str) -> None:
        stored = weights.read(name, self.name)
        try:
            self.model = self.Model(**stored.model)
        except ValidationError as error:
            raise ConfigError(
                f"{stored.path}: weights of another architecture: {_explain(error)}"
            ) from None
        self.module = stored.fill(partial(self.network, self.model))
        self.weights_sha256 = stored.sha256

    def network(self, model: Any) -> nn.Module:
        """A fresh network."""
        raise NotImplementedError


def _explain(error: ValidationError) -> str:
    return ", ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
