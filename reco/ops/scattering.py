"""Energy of a muon from its multiple Coulomb scattering.

Method of MicroBooNE (JINST 12 (2017) P10010) with Highland's width as in PDG 2022 eq. 34.16:
the track is cut into segments, a line is fitted to each, and the energy is the one that makes
the angles between neighbouring lines most likely, losing energy on the way.
"""

from typing import NamedTuple

import numpy as np

from reco.data.ragged import Array
from reco.ops.csda import DENSITY, MUON_MASS, energy_of_range

RADIATION_LENGTH = 14.0
"""Liquid argon of the usual density, cm."""
LINE_FACTOR = 26 / 35
"""Variance of the angle between lines fitted to neighbouring segments, in units of Highland's
variance for one segment. A fitted line averages the direction over its segment with the weight
6 u (1 - u), so the angle is the integral of the scatters with a weight that rises as 3 u^2 - 2 u^3
and falls likewise: 2 * (9/5 - 2 + 4/7)."""
MIN_SEGMENTS = 10
HIGHEST_RANGE = 5000.0
"""cm of range beyond the end of the track up to which the fit searches (15 GeV)."""


class Angles(NamedTuple):
    """Scatters of one track, S - 1 of them for S segments.

    theta: (S - 1, 2) angles between neighbouring segments in two planes, rad. distance: (S - 1,)
    from the start of the track, cm. segment: length of a segment, cm.
    """

    theta: Array
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


def scatters(points: Array, along: Array, length: float, segment: float) -> Angles:
    """Angles between lines fitted to the segments of a track.

    points: (N, 3) cm. along: (N,) place on the track, cm from its start, 0..length.
    segment: their length, cm. A segment of fewer than 3 points, and its angles, are left out.
    """
    n = int(length / segment)
    row = np.floor(along / segment).astype(int)
    kept = row < n
    row, points = row[kept], points[kept].astype(np.float64)
    count = np.bincount(row, minlength=n)
    centre = _sums(row, points, n) / np.maximum(count, 1)[:, None]
    rest = points - centre[row]
    covariance = _sums(row, (rest[:, :, None] * rest[:, None, :]).reshape(-1, 9), n)
    line = np.linalg.eigh(covariance.reshape(-1, 3, 3))[1][:, :, 2]
    forward = _forward(centre, count)
    line = np.where(np.sum(line * forward, axis=1, keepdims=True) < 0, -line, line)
    good = (count[:-1] >= 3) & (count[1:] >= 3)
    distance = segment * np.arange(1, max(n, 1))
    return Angles(_projected(line[:-1], line[1:])[good], distance[good], segment)


def _forward(centre: Array, count: Array) -> Array:
    """(S, 3) rough direction at each segment, led across those without a point."""
    filled = np.flatnonzero(count)
    if len(filled) < 2:
        return np.ones_like(centre)
    slope = np.gradient(centre[filled], axis=0)
    return np.stack([np.interp(np.arange(len(count)), filled, x) for x in slope.T], axis=1)


def _sums(row: Array, values: Array, n: int) -> Array:
    return np.stack([np.bincount(row, column, n) for column in values.T], axis=1)


def _projected(before: Array, after: Array) -> Array:
    """(S, 3) unit vectors each -> (S, 2) angles of the second in two planes through the first."""
    smallest = np.eye(3)[np.argmin(np.abs(before), axis=1)]
    u = np.cross(before, smallest)
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    v = np.cross(before, u)
    along = np.sum(before * after, axis=1)
    return np.stack([np.arctan2(np.sum(after * side, axis=1), along) for side in (u, v)], axis=1)


def muon_energy(
    points: Array, along: Array, length: float, voxel_size: float, density: float = DENSITY
) -> float:
    """Kinetic energy of a muon at the start of its track, MeV; NaN where scatters do not tell.

    points: (N, 3) voxels of the track, cm. along: (N,) their place on it, cm from its start.
    length: of the track, cm; the energy is at least that of a muon of this range. density: of the
    argon, g/cm3.
    """
    segment = segment_length(length)
    if int(length / segment) < MIN_SEGMENTS:
        return float("nan")
    angles = scatters(points, along, length, segment)
    return most_likely_energy(angles, length, line_resolution(segment, voxel_size), density)


def most_likely_energy(
    angles: Angles, length: float, resolution: float, density: float = DENSITY
) -> float:
    """Kinetic energy at the start, MeV, that makes the angles of a muon most likely.

    resolution: error of a segment's direction in one plane, rad.
    NaN with too few angles, or where they do not tell the energy from any larger one.
    """
    if len(angles.theta) < MIN_SEGMENTS - 1:
        return float("nan")
    beyond = np.concatenate([[0.0], np.geomspace(0.1, HIGHEST_RANGE, 80)])
    cost = _cost(angles, length + beyond, resolution, density)
    best = int(np.argmin(cost))
    if cost[-1] - cost[best] < 0.5:
        return float("nan")
    fine = np.linspace(beyond[max(best - 1, 0)], beyond[min(best + 1, 80)], 41)
    best = int(np.argmin(_cost(angles, length + fine, resolution, density)))
    return float(energy_of_range(length + fine[best], MUON_MASS, density))


def _cost(angles: Angles, reach: Array, resolution: float, density: float) -> Array:
    """(H,) minus log likelihood (up to a constant) of muons of these ranges (H,), cm."""
    rest = np.maximum(reach[:, None] - angles.distance, angles.segment / 4)
    energy = energy_of_range(rest, MUON_MASS, density)
    width = highland(momentum_beta(energy), angles.segment, density)
    variance = LINE_FACTOR * width**2 + 2 * resolution**2
    squares = np.sum(angles.theta**2, axis=1)
    cost: Array = np.sum(squares / (2 * variance) + np.log(variance), axis=1)
    return cost


def segment_length(length: float) -> float:
    """Into what segments to cut a track, cm: one radiation length, so that scatters exceed the
    error of a line, but shorter where a track would have fewer than about ten."""
    return min(max(length / 11, 6.0), RADIATION_LENGTH)


def line_resolution(segment: float, spacing: float) -> float:
    """Error of the direction of a line fitted to a segment, rad.

    segment: length, cm. spacing: edge of the voxels, cm, whose uniform rounding is the error of a
    point; one point per voxel crossed.
    """
    return float(spacing / segment / np.sqrt(max(segment / spacing, 1.0)))
