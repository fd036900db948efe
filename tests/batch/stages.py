"""Stages that are slow, or the end of their process, to see what is left of it."""

import os
import signal
import time

from reco.data.products import Semantics, Voxels
from reco.errors import RecoError
from tests.stages_for_tests import Classify

DEADLY = 29
"""A hit of so many MeV kills the process that reads it."""


class Slow(Classify):
    """Takes a while for each batch."""

    class Options(Classify.Options):
        seconds: float = 0.5

    def __call__(self, voxels: Voxels) -> Semantics:
        if (voxels.energy.values == DEADLY).any():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.options.seconds)
        return super().__call__(voxels)


class Refuses(Classify):
    """Cannot be built, so that no item becomes a shard."""

    def __init__(self, *args: object) -> None:
        raise RecoError("this machine lacks what it takes")
