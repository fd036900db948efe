"""Final states out of HepMC3 files, as GENIE, NuWro, NEUT and Achilles write them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from reco.errors import FormatError, RecoError
from reco.simulate.primary import Primary, Vector
from reco.simulate.recipes import SIDE, Rng

NEUTRINOS = (12, 14, 16)
FIRST_NUCLEUS = 1_000_000_000
"""PDG codes from here on are nuclei, or a generator's own (GENIE's binding energy)."""

_FINAL, _BEAM = 1, 4  # HepMC's status of a particle that leaves the interaction, that comes in
_MM, _NS_PER_MM = 0.1, 1 / 299.792458  # HepMC's length in cm; its time is c t


@dataclass(frozen=True)
class Event:
    """The visible final state of one event, and the event's weight (the first one; 1 without)."""

    primaries: list[Primary]
    weight: float = 1.0


@dataclass(frozen=True)
class HepMCRecipe:
    """One event of the file per image, as one interaction.

    Events are drawn with a chance proportional to their weight, so that a weighted file gives
    an unweighted sample; one event can be drawn again, at another place.
    place: "random" puts the vertex anywhere in the cube (generators mostly leave it at 0),
    "file" where the file has it, in the coordinates of the cube, centred on the origin.
    Raises FormatError for a file that is not HepMC3 or holds no visible final state, RecoError
    where pyhepmc is missing.
    """

    path: Path
    side: float = SIDE
    place: Literal["random", "file"] = "random"

    def __call__(self, rng: Rng) -> list[Primary]:
        """A random event of the file."""
        return self.event(int(rng.choice(len(self), p=self._chances)), rng)

    def event(self, number: int, rng: Rng) -> list[Primary]:
        """Event `number` of those with a visible final state; from the start again at the end."""
        final_state = self._events[number % len(self)].primaries
        if self.place == "file":
            return final_state
        x, y, z = (float(v) for v in rng.uniform(-self.side / 2, self.side / 2, 3))
        return [replace(p, position=(x, y, z), time=0.0) for p in final_state]

    def __len__(self) -> int:
        return len(self._events)

    @cached_property
    def _events(self) -> list[Event]:
        return _visible(self.path, self.path.stat().st_mtime_ns if self.path.exists() else 0)

    @cached_property
    def _chances(self) -> NDArray[np.float64]:
        weights = np.array([event.weight for event in self._events], np.float64)
        return weights / float(weights.sum())


@lru_cache(maxsize=1)  # a process asks for the same file again with every few events
def _visible(path: Path, _changed: int) -> list[Event]:
    events = [event for event in read(path) if event.primaries and event.weight > 0]
    if not events:
        raise FormatError(f"{path}: no HepMC3 event with a visible particle of status {_FINAL}")
    return events


def read(path: Path) -> Iterator[Event]:
    """The events of the file; of what leaves them, neutrinos and nuclei are dropped.

    pyhepmc ends at an event it cannot read: a file cut off gives the events before.
    Raises FormatError, with the number of the event, where the file cannot be read or a weight
    is negative: such events cannot be drawn.
    """
    pyhepmc = _pyhepmc()
    if not path.is_file():
        raise FormatError(f"{path}: no such file")
    number = 0
    try:
        with pyhepmc.open(str(path)) as file:
            for event in file:
                number += 1
                event.set_units(pyhepmc.Units.MEV, pyhepmc.Units.MM)
                neutrino = _neutrino(event.particles)
                primaries = [_primary(p, neutrino) for p in event.particles if _is_visible(p)]
                yield Event(primaries, _weight(event, path))
    except (OSError, RuntimeError, ValueError) as error:
        raise FormatError(f"{path}: no HepMC3 past event {number}: {error}") from error


def _weight(event: Any, path: Path) -> float:
    weight = float(event.weights[0]) if event.weights else 1.0
    if not 0 <= weight < np.inf:
        raise FormatError(f"{path}: event {event.event_number} has the weight {weight:g}")
    return weight


def _neutrino(particles: Any) -> int:
    """PDG code of the one in the beam, 0 for none."""
    return next((int(p.pid) for p in particles if p.status == _BEAM and _is_neutrino(p)), 0)


def _is_neutrino(particle: Any) -> bool:
    return abs(particle.pid) in NEUTRINOS


def _is_visible(particle: Any) -> bool:
    if particle.status != _FINAL or _is_neutrino(particle) or abs(particle.pid) >= FIRST_NUCLEUS:
        return False
    return _kinetic_energy(particle) > 0


def _kinetic_energy(particle: Any) -> float:
    # From the momentum: the difference of energy and mass loses digits near rest.
    momentum, mass = particle.momentum.length(), particle.generated_mass
    energy = float(np.hypot(momentum, mass))
    return float(momentum**2 / (energy + mass)) if energy > 0 else 0.0


def _primary(particle: Any, neutrino: int) -> Primary:
    momentum, vertex = particle.momentum, particle.production_vertex
    position: Vector = (0.0, 0.0, 0.0)
    time = 0.0
    if vertex is not None:
        at = vertex.position
        position = (at.x * _MM, at.y * _MM, at.z * _MM)
        time = at.t * _NS_PER_MM * 1e-3
    direction = (momentum.px, momentum.py, momentum.pz)
    energy = _kinetic_energy(particle)
    return Primary(0, particle.pid, energy, position, direction, time, neutrino)


def _pyhepmc() -> ModuleType:
    try:
        import pyhepmc
    except ModuleNotFoundError as error:
        raise RecoError(
            'reading HepMC3 files needs pyhepmc: pip install "lartpc-reco[sim]"'
        ) from error
    return pyhepmc
