"""Whether hits lie in the detector, as densely as its voxels, and hold as much energy as particles
leave in argon: a mistaken unit or detector shows."""

import numpy as np
from scipy.spatial import cKDTree

from reco.data.products import Hits, Quantity
from reco.data.ragged import Array
from reco.detector import Detector
from reco.io.base import Reader
from reco.ops.voxelize import accumulate, pack

USUAL = (0.2, 6.0)
"""MeV per cm of voxel, on average; simulated and real samples have 1.1 to 2.5, a minimum-ionising
track 2.1."""
RECOMBINED = 0.7
"""Electrons of such a track that escape recombination: near enough to tell units."""
ENOUGH = 2000
"""Voxels for an average."""
MOST_EVENTS = 10
MANY_OUTSIDE = 0.05
"""Part of the hits outside the detector above which it is told."""
SPARSE = 2.0
"""Voxels from a hit to the next above which their voxels never touch."""
FARTHEST = 10**6
"""Voxels from the origin to those that can be numbered."""
FEW = 20
"""Hits that say nothing of the spacing of a readout."""


def of_input(reader: Reader, detector: Detector, first: int = 0) -> list[str]:
    """What is odd in some events from the first on. Raises FormatError for a bad one."""
    energies, spacings, outside, seen = [np.zeros(0)], [np.zeros(0)], 0, 0
    for event in range(first, min(len(reader), first + MOST_EVENTS)):
        hits = next(p for p in reader.read(event, event + 1) if isinstance(p, Hits))
        energies.append(_per_voxel(hits, detector))
        spacings.append(_spacing(hits.position.values))
        outside += int((detector.volume_of(hits.position.values) < 0).sum())
        seen += len(hits.value.values)
        if sum(map(len, energies)) > ENOUGH:
            break
    # a voxel of a sparse hit holds the energy of a track as long as nobody knows
    sparse = _of_spacing(np.concatenate(spacings), detector)
    odd = sparse or _of_energy(np.concatenate(energies), detector)
    return [*_of_places(outside, seen, detector), *odd]


def _of_places(outside: int, hits: int, detector: Detector) -> list[str]:
    if outside <= MANY_OUTSIDE * hits:
        return []
    return [
        f"{outside / hits:.0%} of the hits lie outside the detector {detector.name!r}: check "
        "`detector` and `input.length_unit` (cm, mm, m)"
    ]


def _spacing(position: Array) -> Array:
    """(N, 3) -> (M,) cm from a place with hits to the next one."""
    places = np.unique(position, axis=0)
    if len(places) < 2:
        return np.zeros(0)
    some = places[:: 1 + len(places) // ENOUGH]
    return np.asarray(cKDTree(places).query(some, k=2)[0][:, 1])


def _of_spacing(spacings: Array, detector: Detector) -> list[str]:
    """Told where not even the nearest quarter of the hits has voxels that touch."""
    pitch = float(np.quantile(spacings, 0.25)) if len(spacings) >= FEW else 0.0
    if pitch <= SPARSE * detector.voxel_size:
        return []
    return [
        f"hits lie {pitch:.2g} cm apart, voxels of the detector {detector.name!r} measure "
        f"{detector.voxel_size:g} cm: every hit is a piece of its own; check `input.length_unit`, "
        "or name a `detector` whose `voxel_size` is the pitch of the readout (docs/detectors.md), "
        "and weights trained for it"
    ]


def _per_voxel(hits: Hits, detector: Detector) -> Array:
    """(V,) MeV of one event, nearly: without lifetime and clocks."""
    cell = np.floor(hits.position.values / detector.voxel_size)  # also outside
    near = (np.abs(cell) < FARTHEST).all(axis=1)
    if not near.any():
        return np.zeros(0)
    cell = cell[near].astype(np.int64)
    cell -= cell.min(axis=0)
    i, j, k = cell.max(axis=0).tolist()
    value = accumulate(pack(cell, (i + 1, j + 1, k + 1)), hits.value.values[near])[1]
    if hits.quantity[0] == Quantity.ENERGY:
        return value
    return value * (detector.gain * detector.w_value * 1e-3 / RECOMBINED)


def _of_energy(energy: Array, detector: Detector) -> list[str]:
    density = float(np.mean(energy)) / detector.voxel_size if len(energy) else 0.0
    if density == 0 or not np.isfinite(density) or USUAL[0] <= density <= USUAL[1]:
        return []
    return [
        f"{density:.3g} MeV per cm of voxel on average, where tracks leave 2: check "
        "`input.energy_unit` (MeV, GeV, keV) or `input.charge_unit` (ke, e), and the detector's "
        "`gain` for ADC counts"
    ]
