"""Hits -> Voxels: the border where data enter the chain; checked, calibrated, put on the grid."""

from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from reco.data.products import Hits, Quantity, Voxels
from reco.data.ragged import Array, Ragged
from reco.detector import FIELD_RANGE, Detector
from reco.errors import InputError
from reco.ops import recombination as law
from reco.ops.grid_map import GridMap
from reco.ops.voxelize import CHUNK, accumulate, pack, unpack
from reco.stages.base import Context, Stage, StageOptions

HIGHEST_DEDX = 50.0
"""MeV/cm up to which recombination is inverted; beyond, the laws only amplify noise."""


class Voxelize(Stage):
    """Sum hits per voxel, at the place where the detector's clocks and its map of displacements put
    them. Hits of charge are corrected for lifetime, gain and recombination; hits of energy are
    taken as they are."""

    name = "voxelize"

    class Options(StageOptions):
        """threshold: energy a voxel must have, MeV. lifetime: correct charge for the electrons
        lost while drifting. recombination: `mip` divides by the factor of a track of `dedx`
        MeV/cm; `local` inverts the detector's law voxel by voxel, taking `path` cm as the length
        of track in a voxel; `none`. path: None for 2/3 of a voxel, a cube's mean chord."""

        threshold: float = Field(default=0.01, ge=0)
        lifetime: bool = True
        recombination: Literal["none", "mip", "local"] = "mip"
        dedx: float = Field(default=law.MIP_DEDX, gt=0)
        path: float | None = Field(default=None, gt=0)

    options: Options

    def __init__(self, options: Options, context: Context) -> None:
        super().__init__(options, context)
        self.detector = context.detector
        shifts, strength = context.detector.displacement, context.detector.field_map
        self.displacement = GridMap.displacement(Path(shifts)) if shifts else None
        self.field_map = GridMap.strength(Path(strength), *FIELD_RANGE) if strength else None

    def __call__(self, hits: Hits) -> Voxels:
        events = [self._event(hits, event) for event in range(len(hits))]
        return Voxels(
            index=Ragged.of([e.cell for e in events]),
            position=Ragged.of([self.detector.centre_of(e.cell) for e in events]),
            energy=Ragged.of([e.energy for e in events]),
            n_hits=hits.position.counts,
            n_hits_outside=np.array([e.outside for e in events]),
        )

    def _event(self, hits: Hits, event: int) -> "_Grid":
        position, value = hits.position[event], hits.value[event]
        check_hits(position, value, event)
        charge = hits.quantity[event] == Quantity.CHARGE
        keys, values = [], []
        for first in range(0, len(value), CHUNK):
            rows = slice(first, first + CHUNK)
            place = self._place(position[rows])
            number, inside = voxel_numbers(self.detector, place)
            kept = value[rows][inside].astype(np.float64)
            if charge:
                kept *= self._gain(place[inside])
            keys.append(number)
            values.append(kept)
        if not keys:
            return _Grid(np.zeros((0, 3), np.int32), np.zeros(0), 0)
        number, energy = accumulate(np.concatenate(keys), np.concatenate(values))
        if charge:
            energy = self._energy(energy, self._field(number))
        above = (energy > 0) & (energy >= self.options.threshold)
        index = unpack(number[above], self.detector.grid_shape)
        return _Grid(index, energy[above], len(value) - sum(map(len, values)))

    def _place(self, position: Array) -> Array:
        """(N, 3) cm as read out -> (N, 3) cm where the charge was."""
        place = self.detector.on_time(position)
        return place if self.displacement is None else place + self.displacement(place)

    def _field(self, number: Array) -> Array | float:
        """(V,) packed numbers of voxels -> kV/cm in the middle of each."""
        if self.field_map is None:
            return self.detector.field
        return self.field_map(self.detector.centre_of(unpack(number, self.detector.grid_shape)))

    def _gain(self, position: Array) -> Array | float:
        """(N, 3) -> factor from charge at the readout to thousands of electrons at the track."""
        if not self.options.lifetime:
            return self.detector.gain
        time = self.detector.drift_time(position)
        return self.detector.gain * np.exp(time / self.detector.lifetime)

    def _energy(self, charge: Array, field: Array | float) -> Array:
        """(V,) thousands of electrons per voxel, in a field of kV/cm -> MeV."""
        visible = charge * 1e-3 * self.detector.w_value
        if self.options.recombination == "none":
            return visible
        dedx: Array | float = self.options.dedx
        if self.options.recombination == "local":
            path = self.options.path or 2 / 3 * self.detector.voxel_size
            local = dedx_of(self.detector, visible / law.W_ION / path, field)
            # below a minimum-ionising particle's loss the voxel was only grazed: its path is
            # unknown, its recombination that of the track
            dedx = np.clip(local, self.options.dedx, HIGHEST_DEDX)
        return visible / escaped(self.detector, dedx, field)


class _Grid(NamedTuple):
    """cell: (V, 3) voxels. energy: (V,) MeV. outside: number of hits in no volume."""

    cell: Array
    energy: Array
    outside: int


def check_hits(position: Array, value: Array, event: int, table: str = "hits") -> None:
    """Raise InputError where a row cannot be used: not finite, or less than nothing."""
    lost = np.asarray(~np.isfinite(position).all(axis=1))
    _refuse(f"position (x, y, z) in {table}", lost, position, event, "must be finite")
    bad = np.asarray(~np.isfinite(value) | (value < 0))
    _refuse(f"value in {table}", bad, value, event, "must be finite and not negative")


def _refuse(column: str, bad: Array, rows: Array, event: int, rule: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{column} {rule}: row {row} of event {event} in this batch is {rows[row]} "
            f"({int(bad.sum())} such rows); correct or leave out these rows where the file is made"
        )


def voxel_numbers(detector: Detector, position: Array) -> tuple[Array, Array]:
    """(N, 3) -> packed voxel number of those inside a volume (M,), and which those are (N,)."""
    inside = detector.volume_of(position) >= 0
    return pack(detector.index_of(position[inside]), detector.grid_shape), inside


def escaped(detector: Detector, dedx: Array | float, field: Array | float) -> Array:
    """Part of the electrons that escape recombination in this detector; MeV/cm, kV/cm.

    The ellipsoidal law is taken across the field, since the direction is not known here.
    """
    r = detector.recombination
    if r.model == "birks":
        return law.birks(dedx, field, detector.density, r.birks_a, r.birks_k)
    return law.modified_box(dedx, field, detector.density, r.alpha, r.beta)


def dedx_of(detector: Detector, dqdx: Array, field: Array | float) -> Array:
    """Inverse of `escaped`: electrons per cm -> MeV/cm."""
    r = detector.recombination
    if r.model == "birks":
        return law.birks_dedx(dqdx, field, detector.density, r.birks_a, r.birks_k)
    highest = escaped(detector, HIGHEST_DEDX, field) * HIGHEST_DEDX / law.W_ION
    dqdx = np.minimum(dqdx, highest)  # the inverse is an exponential
    return law.modified_box_dedx(dqdx, field, detector.density, r.alpha, r.beta)
