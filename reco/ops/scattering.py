"""Energy of a muon from its multiple Coulomb scattering.

The track is cut into short segments. The kinks of the line through their centres are correlated:
scattering turns several of them one way, the error of a centre turns three of them to and fro. With
both in the covariance, what makes the kinks most likely uses scattering at every length at once.
Highland's width as in PDG 2022 eq. 34.16, but for the β² in its logarithm (1 % at 100 MeV, less
above), losing energy on the way; MicroBooNE (JINST 12 (2017)
P10010) does it with independent angles between segments of one radiation length.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from reco.data.ragged import Array
from reco.ops.csda import DENSITY, MUON_MASS, energy_of_range

RADIATION_LENGTH = 14.0
"""Liquid argon of the usual density, cm."""
SEGMENT = 10
"""Length of a segment, voxels."""
SPLINE = (66 / 120, 26 / 120, 1 / 120)
"""Covariance of the kinks at a distance of 0, 1, 2 segments, in units of the variance of the angle
that one segment adds. A kink is the integral of the scatters with a quadratic B-spline (a centre is
a mean over its segment, a kink the second difference of centres), so this is the quintic one."""
ERROR = (6.0, -4.0, 1.0)
"""The same from the errors of the centres, in units of (error / segment)^2."""
ERRORS = (0.03, 0.06, 0.1, 0.15, 0.2)
"""Errors of a centre that are tried, voxels: it depends on how the track lies to the grid."""
FREEDOM = 6.0
"""Of Student's t for the kinks: hard scatters would pull the energy down."""
CORE = 0.95
"""Width of the scatters in Geant4 (Urban) over Highland's, seen with that t."""
MIN_KINKS = 8
HIGHEST_RANGE = 5000.0
"""cm of range beyond the end of the track up to which the fit searches (15 GeV)."""
_UNKNOWN = 1e3
"""rad2, the variance of a kink that was not seen."""


class Kinks(NamedTuple):
    """Of one track, S - 2 of them for S segments.

    angle: (S - 2, 2) in two planes, rad, 0 where not known: (S - 2,) bool. distance: (S - 2,) from
    the start of the track, cm. segment: length of a segment, cm.
    """

    angle: Array
    known: Array
    distance: Array
    segment: float


def highland(momentum_beta: Array, length: float, density: float = DENSITY) -> Array:
    """Width of the projected angle after `length` cm, rad. momentum_beta: p beta c, MeV.

    density: of the argon, g/cm3."""
    depth = length / RADIATION_LENGTH * (density / DENSITY)
    width: Array = 13.6 / momentum_beta * np.sqrt(depth) * (1 + 0.038 * np.log(depth))
    return width


def momentum_beta(kinetic_energy: Array, mass: float = MUON_MASS) -> Array:
    """p beta c, MeV."""
    energy = kinetic_energy + mass
    product: Array = kinetic_energy * (energy + mass) / energy
    return product


def kinks(points: Array, charge: Array, along: Array, length: float, segment: float) -> Kinks:
    """Of the line through the centres of charge of the segments, which begin in mid-track.

    points: (N, 3) cm. charge: (N,). along: (N,) place on the track, cm from its start, 0..length.
    segment: length, cm. A kink next to a segment of fewer than 3 points is not known.
    """
    n = int(length / segment)
    first = (length - n * segment) / 2
    row = np.floor((along - first) / segment).astype(int)
    kept = (row >= 0) & (row < n)
    row, weight = row[kept], charge[kept].astype(np.float64)
    sums = [np.bincount(row, weight * x, n) for x in points[kept].T]
    centre = np.stack(sums, axis=1) / np.maximum(np.bincount(row, weight, n), 1e-9)[:, None]
    seen = np.bincount(row, minlength=n) >= 3
    known = seen[2:] & seen[1:-1] & seen[:-2]
    angle = _projected(np.diff(centre, n=2, axis=0) / segment, centre[2:] - centre[:-2])
    distance = first + segment * (np.arange(len(known)) + 1.5)
    return Kinks(np.where(known[:, None], angle, 0.0), known, distance, segment)


def _projected(vectors: Array, line: Array) -> Array:
    """(K, 3) each -> (K, 2), the vectors in two directions across the line, that turn with it."""
    smallest = np.eye(3)[np.argmin(np.abs(line.sum(axis=0)))]
    line = line / np.maximum(np.linalg.norm(line, axis=1, keepdims=True), 1e-9)
    u = np.cross(smallest, line)
    u /= np.maximum(np.linalg.norm(u, axis=1, keepdims=True), 1e-9)
    return np.stack([np.sum(vectors * side, axis=1) for side in (u, np.cross(line, u))], axis=1)


def muon_energy(
    points: Array,
    charge: Array,
    along: Array,
    length: float,
    voxel_size: float,
    density: float = DENSITY,
) -> float:
    """Kinetic energy of a muon at the start of its track, MeV; NaN where scatters do not tell.

    points: (N, 3) voxels of the track, cm. charge: (N,) of them. along: (N,) their place on it, cm
    from its start. length: of the track, cm; the energy is at least that of a muon of this range.
    density: of the argon, g/cm3.
    """
    segment = SEGMENT * voxel_size
    if length < (MIN_KINKS + 2) * segment:
        return math.nan
    seen = kinks(points, charge, along, length, segment)
    return most_likely_energy(seen, length, voxel_size, density)


def most_likely_energy(
    seen: Kinks, length: float, voxel_size: float, density: float = DENSITY
) -> float:
    """Kinetic energy at the start, MeV, that makes the kinks of a muon most likely, with whichever
    of ERRORS suits them best.

    NaN with too few kinks, or where they do not tell the energy from any larger one.
    """
    if np.count_nonzero(seen.known) < MIN_KINKS:
        return float("nan")
    reach = length + np.concatenate([[0.0], np.geomspace(1.0, HIGHEST_RANGE, 40)])
    cost = _cost(seen, reach, np.array(ERRORS) * voxel_size, density).min(axis=0)
    best = int(np.argmin(cost))
    if cost[-1] - cost[best] < 0.5:
        return float("nan")
    log_energy = np.log(energy_of_range(reach, MUON_MASS, density))
    return float(np.exp(log_energy[0] if best == 0 else _lowest(log_energy, cost, best)))


def _lowest(x: Array, y: Array, best: int) -> float:
    """Where a parabola through the points about y[best], which is the lowest, is lowest."""
    left, right = x[best] - x[best - 1], x[best + 1] - x[best]
    fall, rise = (y[best - 1] - y[best]) / left, (y[best + 1] - y[best]) / right
    curvature = (rise + fall) / (left + right)
    slope = (rise * left - fall * right) / (left + right)
    return float(x[best] - slope / (2 * max(curvature, 1e-12)))


def _cost(seen: Kinks, reach: Array, error: Array, density: float) -> Array:
    """(E, H) minus log likelihood (up to a constant) of muons of these ranges (H,), cm, with these
    errors of a centre (E,), cm."""
    rest = np.maximum(reach - seen.distance[:, None], seen.segment / 4)
    energy = energy_of_range(rest, MUON_MASS, density)
    width = CORE * highland(momentum_beta(energy), seen.segment, density)
    noise = (error[:, None] / seen.segment) ** 2
    band = [np.zeros((len(rest), len(error), len(reach))) for _ in SPLINE]
    for apart, (spline, sign) in enumerate(zip(SPLINE, ERROR, strict=True)):
        both = width[apart:] * width[: len(width) - apart]
        band[apart][apart:] = spline * both[:, None] + sign * noise
    band[0][~seen.known] += _UNKNOWN
    variance, square = _independent(band, seen.angle)
    scatter = np.log1p(square / FREEDOM)[seen.known].sum(axis=0) * (FREEDOM + 2) / 2
    cost: Array = np.log(variance).sum(axis=0) + scatter
    return cost


def _independent(band: list[Array], angle: Array) -> tuple[Array, Array]:
    """Each kink without what those before it foretell (L D L^T of a covariance of bandwidth 2).

    band: three (K, ...), covariance of each kink with itself, the one before, the one before that.
    angle: (K, 2). Returns (K, ...) the variance of what is new, and its square over that, summed
    over the two planes.
    """
    variance, square = np.empty(band[0].shape), np.empty(band[0].shape)
    flat = (array.reshape(len(angle), -1) for array in (*band, variance, square))
    _sweep(np.ascontiguousarray(angle), *flat)
    return variance, square


@njit(cache=True, nogil=True, error_model="numpy")
def _sweep(angle, band0, band1, band2, variance, square):  # type: ignore[no-untyped-def]
    for h in range(variance.shape[1]):
        # of the two kinks before, the last one first: x and y what is new in them, v its variance,
        # lower the factor of the last; none before the first, where the bands are zero
        x1, y1, v1, x2, y2, v2, lower = 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0
        for i in range(len(angle)):
            beyond = band2[i, h] / v2
            next_to = band1[i, h] - beyond * lower * v2
            lower = next_to / v1
            v = band0[i, h] - beyond * band2[i, h] - lower * next_to
            x = angle[i, 0] - beyond * x2 - lower * x1
            y = angle[i, 1] - beyond * y2 - lower * y1
            variance[i, h], square[i, h] = v, (x * x + y * y) / v
            x1, y1, v1, x2, y2, v2 = x, y, v, x1, y1, v1
