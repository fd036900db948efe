"""Whether hits lie in the detector, and hold as much energy as particles leave in argon: a mistaken
unit shows."""

from pathlib import Path

import h5py
import numpy as np

from reco.data.products import Hits, Quantity
from reco.data.ragged import Array
from reco.detector import Detector
from reco.io.base import Reader, guard
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


def of_input(reader: Reader, detector: Detector) -> list[str]:
    """What is odd in the first events of an input. Raises FormatError for a bad one."""
    energies, outside, seen = [np.zeros(0)], 0, 0
    for event in range(min(len(reader), MOST_EVENTS)):
        hits = next(p for p in reader.read(event, event + 1) if isinstance(p, Hits))
        energies.append(_per_voxel(hits, detector))
        outside += int((detector.volume_of(hits.position.values) < 0).sum())
        seen += len(hits.value.values)
        if sum(map(len, energies)) > ENOUGH:
            break
    return [*of_places(outside, seen, detector), *_of_energy(np.concatenate(energies), detector)]


def of_places(outside: int, hits: int, detector: Detector) -> list[str]:
    """Told where many hits lie outside every volume."""
    if outside <= MANY_OUTSIDE * hits:
        return []
    return [
        f"{outside / hits:.0%} of the hits lie outside the detector {detector.name!r}: check "
        "`detector` and `input.length_unit` (cm, mm, m)"
    ]


def of_output(path: Path, detector: Detector) -> list[str]:
    """What is odd in the first voxels of an output of `reco run`."""
    with guard(str(path), "voxels"), h5py.File(path) as file:
        energy = file["voxels/energy"][:ENOUGH] if "voxels/energy" in file else np.zeros(0)
    return _of_energy(energy, detector)


def _per_voxel(hits: Hits, detector: Detector) -> Array:
    """(V,) MeV of one event, nearly: without lifetime and clocks."""
    if not len(hits.value.values):
        return np.zeros(0)
    cell = np.floor(hits.position.values / detector.voxel_size).astype(np.int64)  # also outside
    cell -= cell.min(axis=0)
    i, j, k = cell.max(axis=0).tolist()
    value = accumulate(pack(cell, (i + 1, j + 1, k + 1)), hits.value.values)[1]
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
