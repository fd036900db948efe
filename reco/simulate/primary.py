"""What an event starts from: the particles handed to Geant4."""

import math
from dataclasses import dataclass, replace

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Primary:
    """One particle that comes out of a primary vertex.

    interaction: number of its vertex within the event, 0..I-1. pdg: PDG code.
    kinetic_energy: MeV. position: of the vertex, cm. direction: any length but zero. time: µs.
    neutrino: PDG code of the one that interacted at the vertex, 0 for none.
    """

    interaction: int
    pdg: int
    kinetic_energy: float
    position: Vector
    direction: Vector
    time: float = 0.0
    neutrino: int = 0

    @property
    def unit_direction(self) -> Vector:
        norm = math.hypot(*self.direction)
        x, y, z = self.direction
        return x / norm, y / norm, z / norm

    def of_interaction(self, interaction: int) -> "Primary":
        """The same particle, of another vertex."""
        return replace(self, interaction=interaction)
