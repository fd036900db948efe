"""Geant4 in a world of liquid argon: primaries in, trajectories and deposits of energy out.

Geant4 allows one set-up per process. An event depends on its primaries and its seed alone, not on
the events before it, so that any event can be made again and jobs can be cut anywhere.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any, ClassVar

import numpy as np

from reco.data.tracks import Deposits, Tracks
from reco.errors import InputError, RecoError
from reco.simulate.library import load
from reco.simulate.primary import Primary
from reco.simulate.recorder import Recorder
from reco.simulate.world import Options, Shots, set_up

__all__ = ["Geant4", "Options"]


class Geant4:
    """One set-up of Geant4; a process can have only one (RecoError otherwise)."""

    _only: ClassVar["Geant4 | None"] = None

    def __init__(self, options: Options | None = None) -> None:
        if Geant4._only is not None:
            raise RecoError(
                "Geant4 allows one set-up per process: share the first, or start another process"
            )
        self.options = options or Options()
        with _silent_stdout():
            self._g4 = load()
            Geant4._only = self
            self._recorder = Recorder()
            self._shots: Shots = []
            self._manager, self._keep = set_up(self._g4, self.options, self._shots, self._recorder)
        self._particles = self._g4.G4ParticleTable.GetParticleTable()

    @classmethod
    def shared(cls, options: Options) -> "Geant4":
        """The set-up of this process, made on first use; RecoError if it has other options."""
        if cls._only is None:
            return cls(options)
        if cls._only.options != options:
            raise RecoError(
                f"this process simulates with {cls._only.options} already and Geant4 cannot "
                f"change to {options}: start another process"
            )
        return cls._only

    def simulate(self, primaries: Sequence[Primary], seed: int) -> tuple[Tracks, Deposits]:
        """Follow the primaries and all they make.

        seed: 0 or above; with equal seeds equal primaries give equal events.
        Tracks: every primary, every particle that left energy in the cube, and all ancestors of
        these, in the order of their numbers; the first are the primaries in the given order.
        Deposits: in the cube alone, along the step of a charged particle, and where a neutral one
        interacted.
        Raises InputError for a primary that Geant4 cannot follow.
        """
        if seed < 0:
            raise InputError(f"the seed of an event must not be negative: {seed}")
        self._shots[:] = [(p, self._definition(p)) for p in primaries]
        self._recorder.clear()
        # Neighbouring seeds must not give related events, and the engine takes 63 bits.
        mixed = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1)
        self._g4.G4Random.setTheSeed(int(mixed))
        if primaries:
            self._manager.BeamOn(1)
        interactions = np.array([p.interaction for p in primaries], np.int32)
        return self._recorder.event(interactions)

    def _definition(self, primary: Primary) -> Any:
        definition = self._particles.FindParticle(int(primary.pdg))
        if definition is None or definition.IsShortLived():
            raise InputError(f"Geant4 cannot follow a particle with the PDG code {primary.pdg}")
        if not (isfinite(primary.kinetic_energy) and primary.kinetic_energy > 0):
            raise InputError(f"a primary needs a kinetic energy above 0: {primary}")
        if not (any(primary.direction) and all(map(isfinite, primary.direction))):
            raise InputError(f"a primary needs a direction: {primary}")
        edge = self.options.side / 2 + self.options.padding
        if not all(abs(x) < edge for x in primary.position):
            raise InputError(f"a primary starts outside the world of +-{edge:g} cm: {primary}")
        return definition


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Geant4 prints its banner from C++, past sys.stdout."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
        sys.stdout.flush()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
