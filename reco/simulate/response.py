"""From energy deposits to hits: recombination, drift, diffusion, noise and threshold.

A hit is the charge in one cell of a regular readout grid, in thousands of electrons. The grid
starts at the lower corner of the detector, so that voxels of the same size hold one hit each.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal, Self

import numpy as np
from numba import njit

from reco.data.classes import N_SEMANTIC, SEMANTIC_PRECEDENCE
from reco.data.labels import EventTruth
from reco.data.ragged import Array
from reco.data.steps import split
from reco.data.tracks import Deposits
from reco.detector import Detector
from reco.errors import InputError
from reco.ops import drift, recombination
from reco.ops.dead import blind

STEP_MIN = 0.03
"""cm. Shorter steps count as this long in dE/dx: a stopping electron's last steps, and points."""
DEDX_MIN = 1.0
"""MeV/cm. The box laws are not made for less."""
SHARE_MIN = 0.1
"""A class must give this part of a hit's energy to name it; less is the tail of a neighbour."""
PATCH = 16
"""Cells across a dead patch."""
REACH = 3.0
"""Widths of the diffusion cloud at which it is cut off."""


@dataclass(frozen=True)
class Response:
    """What the detector does to a deposit. Each effect has a value that turns it off.

    model: law of recombination; `none` lets all electrons escape. field: kV/cm. density: g/cm³.
    alpha, beta, ratio, birks_a, birks_k: as in reco.ops.recombination; beta is that at 90° for
    `ellipsoid`. w_value: eV per ion pair. drift_velocity: cm/µs. lifetime: µs, inf for no loss.
    diffusion_longitudinal, diffusion_transverse: cm²/s, 0 for none. noise: standard deviation in
    each cell that has charge, thousand electrons. threshold: least charge of a hit, thousand
    electrons, after noise. gain: thousand electrons per unit of a hit. dead: part of the readout
    that sees nothing, in patches that are others in every event and that no one knows of.
    """

    model: Literal["none", "birks", "box", "ellipsoid"] = "box"
    field: float = 0.5
    density: float = recombination.DENSITY
    alpha: float = recombination.BOX_ALPHA
    beta: float = recombination.BOX_BETA
    ratio: float = recombination.ELLIPSOID_R
    birks_a: float = recombination.BIRKS_A
    birks_k: float = recombination.BIRKS_K
    w_value: float = recombination.W_ION * 1e6
    drift_velocity: float = 0.16
    lifetime: float = 10_000.0
    diffusion_longitudinal: float = drift.DIFFUSION_LONGITUDINAL
    diffusion_transverse: float = drift.DIFFUSION_TRANSVERSE
    noise: float = 0.5
    threshold: float = 2.0
    gain: float = 1.0
    dead: float = 0.0

    def __post_init__(self) -> None:
        positive = ("field", "density", "w_value", "drift_velocity", "lifetime", "gain")
        for name in positive:
            if not getattr(self, name) > 0:
                raise InputError(f"Response.{name} must be positive, not {getattr(self, name)}")
        for name in ("diffusion_longitudinal", "diffusion_transverse", "noise", "threshold"):
            if not getattr(self, name) >= 0:
                raise InputError(f"Response.{name} must not be negative: {getattr(self, name)}")
        if not 0 <= self.dead <= 1:
            raise InputError(f"Response.dead is a part of the readout, 0 to 1, not {self.dead}")

    @classmethod
    def of(cls, detector: Detector) -> Self:
        """A response with the constants by which the detector is calibrated."""
        law = detector.recombination
        return cls(
            model=law.model,
            field=detector.field,
            density=detector.density,
            alpha=law.alpha,
            beta=law.beta,
            ratio=law.ratio,
            birks_a=law.birks_a,
            birks_k=law.birks_k,
            w_value=detector.w_value,
            drift_velocity=detector.drift_velocity,
            lifetime=detector.lifetime,
            diffusion_longitudinal=detector.diffusion_longitudinal,
            diffusion_transverse=detector.diffusion_transverse,
            gain=detector.gain,
        )

    def varied(self, relative: float, rng: np.random.Generator) -> Self:
        """Another detector of the kind, to be drawn per event.

        Recombination (β or Birks' A) is off by a log-normal factor of width `relative`; lifetime,
        diffusion, noise and threshold, which no one knows as well, of four times that. So a
        network does not lean on one exact response.
        """
        law = "birks_a" if self.model == "birks" else "beta"
        loose = ("lifetime", "diffusion_longitudinal", "diffusion_transverse", "noise", "threshold")
        names = (law, *loose)
        widths = relative * np.array([1.0, *[4.0] * len(loose)])
        factors = np.exp(rng.normal(0.0, widths)).tolist()
        changed = {n: getattr(self, n) * f for n, f in zip(names, factors, strict=True)}
        return replace(self, **changed)


PERFECT = Response(
    model="none",
    lifetime=math.inf,
    diffusion_longitudinal=0.0,
    diffusion_transverse=0.0,
    noise=0.0,
    threshold=0.0,
)
"""Every electron arrives where it was set free."""


@dataclass(frozen=True)
class Readout:
    """Where charge drifts and is read.

    lower, upper: (V, 3) corners of the drift volumes, cm. axis: (V,) int drift axis. anode: (V,)
    cm along it. pitch: size of a cell, cm; cells start at the lowest corner. dead: (2, B, 3) lower
    and upper corners of boxes that see nothing, in cells.
    """

    lower: Array
    upper: Array
    axis: Array
    anode: Array
    pitch: float = 0.3
    dead: Array = field(default_factory=lambda: np.zeros((2, 0, 3)))

    def __post_init__(self) -> None:
        if not self.pitch > 0:
            raise InputError(f"Readout.pitch must be positive, not {self.pitch}")

    @classmethod
    def of(cls, detector: Detector) -> Self:
        """The volumes of a detector, read in cells of its voxels."""
        volumes = detector.volumes
        return cls(
            lower=np.array([v.lower for v in volumes]),
            upper=np.array([v.upper for v in volumes]),
            axis=np.array([v.drift_axis for v in volumes]),
            anode=np.array([v.anode for v in volumes]),
            pitch=detector.voxel_size,
            dead=detector.dead_boxes,
        )

    @property
    def origin(self) -> Array:
        """(3,) cm, lower corner of the first cell."""
        corner: Array = self.lower.min(axis=0)
        return corner

    def volume_of(self, points: Array) -> Array:
        """(P, 3) cm -> (P,) first volume that holds the point, -1 for none (and NaN)."""
        volume = np.full(len(points), -1, np.int64)
        for v in range(len(self.lower) - 1, -1, -1):
            within = (points >= self.lower[v]) & (points <= self.upper[v])
            volume[within.all(axis=1)] = v
        return volume


@dataclass(frozen=True)
class ReadHits:
    """M hits, in the order of their cells, and the truth of each.

    position: (M, 3) float32 cm, centre of the cell. charge: (M,) float32 thousand electrons over
    gain. time: (M,) float32 µs, mean time of arrival at the anode (true time plus drift).
    energy: (M,) float32 MeV whose electrons ended here. semantic, fragment, particle: of the
    deposit with most energy here in the strongest class.
    """

    position: Array
    charge: Array
    time: Array
    energy: Array
    semantic: Array
    fragment: Array
    particle: Array


def respond(
    deposits: Deposits,
    truth: EventTruth,
    response: Response,
    readout: Readout,
    rng: np.random.Generator,
) -> ReadHits:
    """Read out one event; deposits outside every volume are lost. Same rng state, same hits."""
    clouds = _clouds(deposits, response, readout)
    cell, volume, row, part, cloud = _spread(clouds, readout)
    electrons, share = clouds.charge[cloud] * part, clouds.energy[cloud] * part
    collected = np.bincount(row, electrons, len(cell))
    arrival = np.bincount(row, electrons * clouds.time[cloud], len(cell))
    time = arrival / np.maximum(collected, 1e-30)
    charge = collected + rng.normal(0.0, response.noise, len(cell))
    dead = _dead(cell, readout.axis[volume], response.dead, rng)
    kept = np.flatnonzero((charge >= response.threshold) & (charge > 0) & ~dead)
    kept = kept[~blind(cell[kept] + 0.5, *readout.dead)]
    by = _dominating(truth.semantic, clouds.step[cloud], row, share, len(cell))[kept]
    # A cell that sticks out of its volume is put on the volume's face, to be found in it again.
    centre = readout.origin + (cell + 0.5) * readout.pitch
    centre = np.clip(centre, readout.lower[volume], readout.upper[volume])
    return ReadHits(
        position=centre[kept].astype(np.float32),
        charge=(charge[kept] / response.gain).astype(np.float32),
        time=time[kept].astype(np.float32),
        energy=np.bincount(row, share, len(cell))[kept].astype(np.float32),
        semantic=truth.semantic[by],
        fragment=truth.fragment[by],
        particle=truth.particle[by],
    )


def _dead(cell: Array, axis: Array, part: float, rng: np.random.Generator) -> Array:
    """(M,) bool: cells (M, 3) before a dead patch of the readout; axis: (M,) that they drift along.

    No random number is drawn where nothing is dead.
    """
    if not part or not len(cell):
        return np.zeros(len(cell), bool)
    patch = cell // PATCH
    patch[np.arange(len(cell)), axis] = 0  # what is dead is blind all the way to the cathode
    dead = rng.random(tuple(patch.max(axis=0) + 1)) < part
    return np.asarray(dead[tuple(patch.T)])


@dataclass(frozen=True)
class _Clouds:
    """Electrons of P points along the steps when they reach the anode.

    centre, sigma: (P, 3) cm. volume, step: (P,) rows. charge: (P,) thousand electrons left.
    energy: (P,) MeV that freed them. time: (P,) µs of arrival.
    """

    centre: Array
    sigma: Array
    volume: Array
    step: Array
    charge: Array
    energy: Array
    time: Array


def _clouds(deposits: Deposits, response: Response, readout: Readout) -> _Clouds:
    points, step = split(deposits.start, deposits.end, readout.pitch / 2)
    energy = (deposits.energy / np.bincount(step, minlength=len(deposits)))[step]
    volume = readout.volume_of(points)
    inside = volume >= 0
    points, step, volume, energy = points[inside], step[inside], volume[inside], energy[inside]
    axis = readout.axis[volume]
    along = points[np.arange(len(points)), axis]
    drifted = np.abs(readout.anode[volume] - along) / response.drift_velocity
    cos_field = _cosines(deposits)[step, axis]
    charge = energy / (response.w_value * 1e-3) * _law(_dedx(deposits)[step], cos_field, response)
    sigma = np.empty_like(points)
    sigma[:] = drift.diffusion_sigma(drifted, response.diffusion_transverse)[:, None]
    longitudinal = drift.diffusion_sigma(drifted, response.diffusion_longitudinal)
    sigma[np.arange(len(points)), axis] = longitudinal
    return _Clouds(
        centre=points,
        sigma=sigma,
        volume=volume,
        step=step,
        charge=charge * drift.survival(drifted, response.lifetime),
        energy=energy,
        time=deposits.time[step] + drifted,
    )


def _dedx(deposits: Deposits) -> Array:
    """(N,) MeV/cm, within the limits in which the laws make sense."""
    length = np.linalg.norm(deposits.end - deposits.start, axis=1)
    return np.asarray(np.maximum(deposits.energy / np.maximum(length, STEP_MIN), DEDX_MIN))


def _cosines(deposits: Deposits) -> Array:
    """(N, 3) direction cosines of each step."""
    way = (deposits.end - deposits.start).astype(float)
    return np.asarray(way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12))


def _law(dedx: Array, cos_field: Array, r: Response) -> Array:
    if r.model == "none":
        return np.ones(len(dedx))
    if r.model == "birks":
        return recombination.birks(dedx, r.field, r.density, r.birks_a, r.birks_k)
    if r.model == "box":
        return recombination.modified_box(dedx, r.field, r.density, r.alpha, r.beta)
    beta = recombination.ellipsoid_beta(cos_field, r.beta, r.ratio)
    return recombination.modified_box(dedx, r.field, r.density, r.alpha, beta)


def _spread(clouds: _Clouds, readout: Readout) -> tuple[Array, Array, Array, Array, Array]:
    """Share each cloud among the cells it covers.

    Returns the M cells (M, 3) and their volumes (M,), in order; and for each of K shares its cell
    (a row of the M), its part of the cloud, and its cloud.
    """
    origin, pitch, volume = readout.origin, readout.pitch, clouds.volume
    first = np.floor((readout.lower - origin) / pitch + 1e-3).astype(np.int64)
    last = np.ceil((readout.upper - origin) / pitch - 1e-3).astype(np.int64) - 1
    centre, sigma = (clouds.centre - origin) / pitch, clouds.sigma / pitch
    low, high = (
        np.clip(np.floor(centre + way * sigma).astype(np.int64), first[volume], last[volume])
        for way in (-REACH, REACH)
    )
    n = np.prod(high - low + 1, axis=1)
    shape = last.max(axis=0) + 1
    key, part, cloud = _shares(centre, sigma, low, high, volume, shape, int(n.sum()))
    distinct, row = np.unique(key, return_inverse=True)
    in_volume, number = np.divmod(distinct, np.prod(shape))
    cell = np.stack(np.unravel_index(number, shape), axis=1)
    return cell, in_volume, row.reshape(-1), part, cloud


@njit(cache=True)
def _axis_weights(centre, sigma, low, high):  # type: ignore[no-untyped-def]
    # Parts of a Gaussian in the cells low..high; what lies beyond is given to them in proportion.
    n = high - low + 1
    weight = np.ones(n)
    if n == 1:
        return weight
    scale = 1.0 / (sigma * math.sqrt(2.0))
    below = math.erf((low - centre) * scale)
    for i in range(n):
        above = math.erf((low + i + 1 - centre) * scale)
        weight[i] = above - below
        below = above
    return weight / weight.sum()


@njit(cache=True)
def _shares(centre, sigma, low, high, volume, shape, n):  # type: ignore[no-untyped-def]
    key, weight, point = np.empty(n, np.int64), np.empty(n), np.empty(n, np.int64)
    at = 0
    for p in range(len(centre)):
        wx = _axis_weights(centre[p, 0], sigma[p, 0], low[p, 0], high[p, 0])
        wy = _axis_weights(centre[p, 1], sigma[p, 1], low[p, 1], high[p, 1])
        wz = _axis_weights(centre[p, 2], sigma[p, 2], low[p, 2], high[p, 2])
        for i in range(len(wx)):
            for j in range(len(wy)):
                above = (volume[p] * shape[0] + low[p, 0] + i) * shape[1] + low[p, 1] + j
                for k in range(len(wz)):
                    key[at] = above * shape[2] + low[p, 2] + k
                    weight[at] = wx[i] * wy[j] * wz[k]
                    point[at] = p
                    at += 1
    return key, weight, point


def _dominating(semantic: Array, step: Array, row: Array, energy: Array, n_hits: int) -> Array:
    """(M,) deposit that names each hit, from the deposit, hit and energy of each share."""
    rank_of = np.empty(N_SEMANTIC + 1, np.int64)
    rank_of[[*SEMANTIC_PRECEDENCE, -1]] = np.arange(N_SEMANTIC + 1)
    rank = rank_of[semantic[step]]
    of_class = np.zeros((n_hits, N_SEMANTIC + 1))
    np.add.at(of_class, (row, rank), energy)
    enough = of_class >= SHARE_MIN * of_class.sum(axis=1, keepdims=True)
    return np.asarray(_strongest(step, row, rank, energy, enough.argmax(axis=1)))


@njit(cache=True)
def _strongest(step, row, rank, energy, wanted):  # type: ignore[no-untyped-def]
    best = np.full(len(wanted), -1, np.int64)
    most = np.full(len(wanted), -1.0)
    for share in range(len(row)):
        hit = row[share]
        if rank[share] == wanted[hit] and energy[share] > most[hit]:
            most[hit] = energy[share]
            best[hit] = step[share]
    return best
