"""One simulated event before any label: trajectories and the energy they left."""

from dataclasses import dataclass

from reco.data.ragged import Array

PROCESSES = (
    "primary",
    "decay",
    "ionisation",
    "compton",
    "conversion",
    "photoelectric",
    "bremsstrahlung",
    "annihilation",
    "capture",
    "hadronic",
    "neutron",
    "other",
    "unknown",
)
"""What made a particle, as far as the label rules ask for it; `unknown` where a file lacks it."""


@dataclass(frozen=True)
class Tracks:
    """Trajectories of one event, T rows.

    track_id, parent_id: (T,) int32, parent 0 or -1 for a primary. pdg: (T,) int32.
    process: (T,) int8, position in PROCESSES. interaction: (T,) int32, number of the primary
    vertex it comes from, in 0..I-1. start, end: (T, 3) float32 cm. momentum: (T, 3) float32 MeV/c
    at the start. kinetic_energy: (T,) float32 MeV. length: (T,) float32 cm. time: (T,) float32 µs.
    """

    track_id: Array
    parent_id: Array
    pdg: Array
    process: Array
    interaction: Array
    start: Array
    end: Array
    momentum: Array
    kinetic_energy: Array
    length: Array
    time: Array

    def __len__(self) -> int:
        return len(self.track_id)


@dataclass(frozen=True)
class Deposits:
    """Energy deposits of one event, N rows: a step of a trajectory each.

    track: (N,) int32, row of Tracks. start, end: (N, 3) float32 cm. energy: (N,) float32 MeV.
    time: (N,) float32 µs.
    """

    track: Array
    start: Array
    end: Array
    energy: Array
    time: Array

    def __len__(self) -> int:
        return len(self.energy)
