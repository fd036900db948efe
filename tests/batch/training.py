"""`python -m tests.batch.training FOLDER`: a training by several processes, killed the first time.

The process that is the last of them ends itself in the fifth step, as a node does that is lost.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from reco.train.loop import train
from tests.train.toy import SCHEDULE, Line


class Lost(Line):
    """folder: where it is noted that the end has come once."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.note = folder / "was lost"

    def loss(self, events: Sequence[int], rng: np.random.Generator) -> dict[str, torch.Tensor]:
        last = os.environ["RANK"] == str(int(os.environ["WORLD_SIZE"]) - 1)
        if last and len(self.seen) == 4 and not self.note.exists():
            self.note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(events, rng)


def main() -> None:
    folder = Path(sys.argv[1])
    train(Lost(folder), SCHEDULE, folder, device="cpu", processes=int(os.environ["WORLD_SIZE"]))


if __name__ == "__main__":
    main()
