"""The smallest task: a line through points. Run as a program, one process of several."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from reco.train.loop import Schedule, train

SCHEDULE = Schedule(steps=6, batch_size=4, warmup=2, validate_every=2, save_every=2)


class Line:
    """Dropout takes from torch's random state, the noise from the step's own."""

    def __init__(self, events: int = 10, *, dropout: float = 0.5, noise: float = 0.1) -> None:
        torch.manual_seed(3)
        layers = [nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(dropout), nn.Linear(4, 1)]
        self.module: nn.Module = nn.Sequential(*(layers if dropout else [layers[0], layers[3]]))
        rng = np.random.default_rng(0)
        self.x = torch.from_numpy(rng.normal(size=(events, 3)).astype(np.float32))
        self.noise = noise
        self.seen: list[list[int]] = []

    def __len__(self) -> int:
        return len(self.x)

    def loss(self, events: Sequence[int], rng: np.random.Generator) -> dict[str, torch.Tensor]:
        self.seen.append(list(events))
        x = self.x[list(events)]
        y = x.sum(dim=1, keepdim=True) + self.noise * float(rng.normal())
        return {"line": (self.module(x) - y).square().mean()}

    def finish(self) -> dict[str, float]:
        return {"norm": float(self.x.norm())}

    def validate(self) -> dict[str, float]:
        assert not self.module.training
        return {"miss": float((self.module(self.x) - self.x.sum(dim=1, keepdim=True)).abs().mean())}


def main() -> None:
    """One of the processes of torchrun: FOLDER, where the weights go."""
    folder = Path(sys.argv[1])
    task = Line(dropout=0, noise=0)
    train(task, SCHEDULE, folder, device="cpu", processes=int(sys.argv[2]))


if __name__ == "__main__":
    main()
