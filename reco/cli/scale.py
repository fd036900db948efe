"""Whether hits hold as much energy as particles leave in argon: a mistaken unit shows."""

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


def of_input(reader: Reader, detector: Detector) -> str:
    """What the first events of an input say; "" where all is well. Raises FormatError."""
    energies = [np.zeros(0)]
    for event in range(min(len(reader), MOST_EVENTS)):
        hits = next(p for p in reader.read(event, event + 1) if isinstance(p, Hits))
        energies.append(_per_voxel(hits, detector))
        if sum(map(len, energies)) > ENOUGH:
            break
    return _told(np.concatenate(energies), detector)


def of_output(path: Path, detector: Detector) -> str:
    """What the first voxels of an output of `reco run` say; "" where all is well."""
    with guard(str(path), "voxels"), h5py.File(path) as file:
        energy = file["voxels/energy"][:ENOUGH] if "voxels/energy" in file else np.zeros(0)
    return _told(energy, detector)


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


def _told(energy: Array, detector: Detector) -> str:
    density = float(np.mean(energy)) / detector.voxel_size if len(energy) else 0.0
    if density == 0 or not np.isfinite(density) or USUAL[0] <= density <= USUAL[1]:
        return ""
    return (
        f"{density:.3g} MeV per cm of voxel on average, where tracks leave 2: check "
        "`input.energy_unit` (MeV, GeV, keV) or `input.charge_unit` (ke, e), and the detector's "
        "`gain` for ADC counts"
    )
