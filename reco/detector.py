"""The detector: its drift volumes and the constants of its argon and readout.

A detector is described by one YAML file, found by name among those shipped (`detectors/`) or by
path. The description is checked in full when it is loaded; what comes out never changes.
"""

import math
import os
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from scipy.sparse.csgraph import connected_components

from reco.data.ragged import Array
from reco.digest import sha256_of
from reco.errors import ConfigError, InputError
from reco.schema import read_yaml, validate
from reco.suggest import unknown

AXES = "xyz"
SHARED = Path(__file__).parent / "_share" / "detectors"
"""Folder of the detectors that come with the package."""

TOLERANCE = 1e-3
"""Fraction of a voxel by which a point may miss a face through rounding and still be on it;
single precision rounds by less than this within 40 m of the origin for voxels of 3 mm."""

MAPS = ("displacement", "field_map")
"""Keys that name a file."""

FIELD_RANGE = (0.01, 10.0)
"""kV/cm. Beyond, it is another unit."""

WALL = 10.0
"""cm of dead space up to which two volumes are one for containment: a cathode, a pair of anode
planes, the walls between the modules of one bath. Cryostats are farther apart."""


@dataclass(frozen=True)
class Volume:
    """A box of argon in which electrons drift one way.

    name: unique in its detector. lower, upper: corners, cm. drift_axis: 0, 1, 2 for x, y, z.
    drift_direction: +1 where electrons drift towards larger coordinates (the anode is the upper
    face), -1 where towards smaller ones. t0: us by which its clock is late.
    """

    name: str
    lower: tuple[float, float, float]
    upper: tuple[float, float, float]
    drift_axis: int
    drift_direction: int
    t0: float = 0.0

    @property
    def anode(self) -> float:
        """Coordinate of the anode along the drift axis, cm."""
        return (self.upper if self.drift_direction > 0 else self.lower)[self.drift_axis]

    @property
    def drift_length(self) -> float:
        """From cathode to anode, cm."""
        return self.upper[self.drift_axis] - self.lower[self.drift_axis]


@dataclass(frozen=True)
class Recombination:
    """Which law links dE/dx to the electrons that escape recombination, and its constants.

    model: `box` (modified box), `ellipsoid` (modified box with an angle to the field) or `birks`.
    alpha: of the box laws. beta: of the box laws, (kV/cm)(g/cm2)/MeV; at 90 degrees to the field
    for `ellipsoid`. ratio: R of `ellipsoid`. birks_a, birks_k: of `birks`, the latter in
    (kV/cm)(g/cm2)/MeV.
    """

    model: Literal["box", "ellipsoid", "birks"]
    alpha: float
    beta: float
    ratio: float
    birks_a: float
    birks_k: float


@dataclass(frozen=True)
class Dead:
    """A box whose charge is not read out. lower, upper: its corners, cm."""

    lower: tuple[float, float, float]
    upper: tuple[float, float, float]


@dataclass(frozen=True)
class Detector:
    """Everything the reconstruction knows of a detector.

    voxel_size: edge of a voxel, cm. field: drift field, kV/cm. temperature: of the argon, K.
    density: g/cm3. drift_velocity: cm/us. lifetime: of drifting electrons, us.
    diffusion_longitudinal, diffusion_transverse: cm2/s. w_value: energy per ion pair, eV.
    gain: electrons per unit of a charge hit, divided by 1000 (1 where hits are in thousands of
    electrons, as `Hits` has them). displacement, field_map: files that `reco.ops.grid_map` reads,
    of how charge is displaced and how strong the field is; None for an even field. dead: where
    nothing is read out.
    """

    name: str
    volumes: tuple[Volume, ...]
    voxel_size: float
    field: float
    temperature: float
    density: float
    drift_velocity: float
    lifetime: float
    diffusion_longitudinal: float
    diffusion_transverse: float
    w_value: float
    gain: float
    recombination: Recombination
    displacement: str | None = None
    field_map: str | None = None
    dead: tuple[Dead, ...] = ()

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Read a shipped detector by name (`icarus`) or any by the path of its YAML file.

        Raises ConfigError naming file and key where the description is wrong.
        """
        return cls.read(find(name))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a YAML file; see `load`."""
        return cls.of(read_yaml(path), str(path), path.parent)

    @classmethod
    def of(cls, content: object, source: str = "detector", folder: Path = Path()) -> Self:
        """Build from the parsed content of a description.

        source: is named in messages. folder: of the files that the description names.
        """
        schema = validate(DetectorSchema, content, source)
        constants = schema.model_dump(exclude={"volumes", "recombination", "dead"})
        constants |= {key: str(folder / constants[key]) for key in MAPS if constants[key]}
        return cls(
            volumes=tuple(volume.build() for volume in schema.volumes),
            recombination=Recombination(**schema.recombination.model_dump()),
            dead=tuple(Dead(box.lower, box.upper) for box in schema.dead),
            **constants,
        )

    @property
    def map_digests(self) -> dict[str, str]:
        """SHA-256 of the maps that it names, by key, as far as they are there."""
        named = {key: Path(name) for key in MAPS if (name := getattr(self, key))}
        return {key: sha256_of(path) for key, path in named.items() if path.is_file()}

    @cached_property
    def lower(self) -> Array:
        """(3,) float64 lower corner of the box around all volumes, cm."""
        corner: Array = np.array([v.lower for v in self.volumes]).min(axis=0)
        return corner

    @cached_property
    def upper(self) -> Array:
        """(3,) float64 upper corner of the box around all volumes, cm."""
        corner: Array = np.array([v.upper for v in self.volumes]).max(axis=0)
        return corner

    @cached_property
    def baths(self) -> Array:
        """(B, 2, 3) float64 lower and upper corner of each bath of argon, cm.

        A bath is what a particle cannot leave unseen: the box around volumes that touch, but for
        `WALL`, directly or through others. ICARUS has two, all other shipped detectors one.
        """
        lower = np.array([v.lower for v in self.volumes])
        upper = np.array([v.upper for v in self.volumes])
        apart = np.maximum(lower[:, None] - upper, lower - upper[:, None]).max(axis=2)
        n, bath = connected_components(apart <= WALL, directed=False)
        rows = [bath == b for b in range(n)]
        return np.array([(lower[row].min(axis=0), upper[row].max(axis=0)) for row in rows])

    @cached_property
    def dead_boxes(self) -> Array:
        """(2, B, 3) float64 lower and upper corners of what is dead, in voxels of the grid."""
        corners = np.array([[box.lower, box.upper] for box in self.dead]).reshape(-1, 2, 3)
        return np.ascontiguousarray(((corners - self.lower) / self.voxel_size).swapaxes(0, 1))

    @cached_property
    def grid_shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y, z; the last one may stick out of the box."""
        n = np.ceil((self.upper - self.lower) / self.voxel_size - TOLERANCE).astype(int)
        return int(n[0]), int(n[1]), int(n[2])

    def volume_of(self, points: Array) -> Array:
        """(N, 3) positions in cm -> (N,) int8, row of `volumes`, -1 outside all (or NaN).

        A point on the common face of two volumes is in the first.
        """
        _check_points(points)
        volume = np.full(len(points), -1, np.int8)
        slack = TOLERANCE * self.voxel_size
        for row in reversed(range(len(self.volumes))):
            box = self.volumes[row]
            inside = np.ones(len(points), bool)
            for axis in range(3):
                x = points[:, axis]
                inside &= (x >= box.lower[axis] - slack) & (x <= box.upper[axis] + slack)
            volume[inside] = row
        return volume

    def bath_of(self, points: Array) -> Array:
        """(N, 3) positions in cm -> (N, 2, 3) corners of the bath each is in, or nearest to."""
        chosen: Array = self.baths[np.argmax(self._gaps(points), axis=0)]
        return chosen

    def wall_distance(self, points: Array) -> Array:
        """(N, 3) positions in cm -> (N,) cm to the nearest wall of a bath, negative outside all."""
        return np.asarray(np.max(self._gaps(points), axis=0))

    def _gaps(self, points: Array) -> list[Array]:
        """B arrays (N,): cm to the nearest wall of that bath, negative outside it."""
        return [np.minimum(points - low, high - points).min(axis=1) for low, high in self.baths]

    def drift_time(self, points: Array) -> Array:
        """(N, 3) positions in cm -> (N,) float64 time to the anode in us, NaN outside."""
        volume = self.volume_of(points)
        time = np.full(len(points), np.nan)
        for row, box in enumerate(self.volumes):
            here = volume == row
            distance = np.abs(box.anode - points[here, box.drift_axis].astype(np.float64))
            time[here] = distance / self.drift_velocity
        return time

    def on_time(self, points: Array) -> Array:
        """(N, 3) cm -> (N, 3) cm, moved to where a clock that is not late would have put them.

        A late clock makes every drift seem longer; what is in no volume stays where it is.
        """
        if not any(volume.t0 for volume in self.volumes):
            return points
        volume, moved = self.volume_of(points), points.copy()
        for row, box in enumerate(self.volumes):
            shift = box.drift_direction * self.drift_velocity * box.t0
            moved[volume == row, box.drift_axis] += shift
        return moved

    def index_of(self, points: Array) -> Array:
        """(N, 3) positions in cm -> (N, 3) int32 voxel on the grid, clipped to it.

        A point on the face between two voxels (within rounding) is in the upper one.
        """
        _check_points(points)
        scaled = (points.astype(np.float64) - self.lower) / self.voxel_size
        index = np.floor(scaled + TOLERANCE)
        return np.clip(index, 0, np.array(self.grid_shape) - 1).astype(np.int32)

    def centre_of(self, index: Array) -> Array:
        """(N, 3) voxels -> (N, 3) float32 centres, cm."""
        return (self.lower + (index + 0.5) * self.voxel_size).astype(np.float32)


def find(name: str | Path) -> Path:
    """The file of a detector: a path to a YAML file, or the name of a shipped one."""
    path = Path(name)
    if os.path.isfile(path):
        return path
    shipped = SHARED / f"{name}.yaml"
    if path.name == str(name) and os.path.isfile(shipped):
        return shipped
    problem = f"detector {str(name)!r}: no such file, and not one that is shipped"
    raise ConfigError(unknown(problem, path.stem, names(), "shipped"))


def names() -> list[str]:
    """Names of the shipped detectors."""
    return sorted(path.stem for path in SHARED.glob("*.yaml"))


Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Corner = tuple[float, float, float]
LONGEST_DRIFT, SHORTEST_DRIFT, LONGEST_SIDE = 700.0, 3.0, 7000.0
"""cm. DUNE drifts electrons over 650 cm in modules of 6000; beyond, it is another unit."""


class _Schema(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VolumeSchema(_Schema):
    """A box of argon. lower, upper: its corners, cm. drift: `+x` where electrons drift to larger
    x, so that the anode is the upper face and the cathode the lower one; and so on."""

    name: str
    lower: Corner
    upper: Corner
    drift: Literal["+x", "-x", "+y", "-y", "+z", "-z"]
    t0: float = Field(0.0, ge=-10_000, le=10_000, description="us by which its clock is late")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        _check_corners(self.lower, self.upper)
        sides = np.subtract(self.upper, self.lower)
        drift = sides[AXES.index(self.drift[1])]
        if not SHORTEST_DRIFT <= drift <= LONGEST_DRIFT or sides.max() > LONGEST_SIDE:
            raise ValueError(
                f"{self.name} is {' x '.join(f'{side:g}' for side in sides)} cm and drifts "
                f"{drift:g} cm, which no detector does; lengths are in cm, 10 mm are 1.0"
            )
        return self

    def build(self) -> Volume:
        sign, axis = self.drift
        direction = 1 if sign == "+" else -1
        return Volume(self.name, self.lower, self.upper, AXES.index(axis), direction, self.t0)


class DeadSchema(_Schema):
    """A box that is not read out, of dead wires or chips. It may stick out of the volumes. lower,
    upper: its corners, cm."""

    lower: Corner
    upper: Corner

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        _check_corners(self.lower, self.upper)
        return self


class RecombinationSchema(_Schema):
    """Defaults: ArgoNeuT (1306.1712) for box, ICARUS 2024 (2407.12969) for the ratio of ellipsoid,
    ICARUS (NIM A 523, 275) for Birks.

    model: modified box, the same with an angle to the field, or Birks. alpha: of the boxes. beta:
    of the boxes, (kV/cm)(g/cm2)/MeV; at right angles to the field for `ellipsoid`. ratio: R of
    `ellipsoid`. birks_a: A of `birks`. birks_k: k of `birks`, (kV/cm)(g/cm2)/MeV."""

    model: Literal["box", "ellipsoid", "birks"] = "box"
    alpha: Positive = 0.93
    beta: Positive = 0.212
    ratio: Positive = 1.25
    birks_a: Positive = 0.800
    birks_k: Positive = 0.0486


class DetectorSchema(_Schema):
    """The file, with its keys."""

    name: str
    volumes: Annotated[tuple[VolumeSchema, ...], Field(min_length=1, max_length=127)] = Field(
        description="boxes of argon in which electrons drift one way"
    )
    voxel_size: float = Field(0.3, ge=0.01, le=2, description="cm; 3 mm are 0.3")
    field: float = Field(
        0.5, ge=FIELD_RANGE[0], le=FIELD_RANGE[1], description="kV/cm; 500 V/cm are 0.5"
    )
    temperature: float = Field(87.3, ge=83.8, le=100, description="K; argon melts at 83.8")
    density: float = Field(1.396, ge=1, le=2, description="g/cm3")
    drift_velocity: float = Field(0.16, ge=0.005, le=1, description="cm/us; 1.6 mm/us are 0.16")
    lifetime: float = Field(
        10_000.0,
        ge=50,
        allow_inf_nan=False,
        description="of electrons, us; 10 ms are 10000",
    )
    diffusion_longitudinal: float = Field(4.0, ge=0, le=50, description="cm2/s")
    diffusion_transverse: float = Field(8.8, ge=0, le=50, description="cm2/s")
    w_value: float = Field(23.6, ge=10, le=50, description="energy per ion pair, eV")
    gain: Positive = Field(
        1.0, description="thousands of electrons per unit of charge of a hit; 1 if they are that"
    )
    recombination: RecombinationSchema = Field(
        RecombinationSchema(), description="the law that links dE/dx to the charge that escapes"
    )
    displacement: str | None = Field(
        None, description="HDF5 file, beside this one, of the shifts that space charge calls for"
    )
    field_map: str | None = Field(
        None, description="HDF5 file, beside this one, of the strength of the field by place"
    )
    dead: tuple[DeadSchema, ...] = Field((), description="boxes of argon that are not read out")

    @field_validator("volumes")
    @classmethod
    def _apart(cls, volumes: tuple[VolumeSchema, ...]) -> tuple[VolumeSchema, ...]:
        for a, b in combinations(volumes, 2):
            if a.name == b.name:
                raise ValueError(f"two volumes are named {a.name!r}")
            if _overlap(a, b):
                raise ValueError(f"volumes {a.name!r} and {b.name!r} overlap")
        return volumes

    @model_validator(mode="after")
    def _dead_somewhere(self) -> Self:
        for number, box in enumerate(self.dead):
            if not any(_overlap(box, volume) for volume in self.volumes):
                raise ValueError(
                    f"dead: box {number}, {box.lower} to {box.upper}, is in no volume; lengths "
                    "are in cm, 10 mm are 1.0"
                )
        return self


def _check_corners(lower: Corner, upper: Corner) -> None:
    for axis, low, high in zip(AXES, lower, upper, strict=True):
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"lower must be below upper along {axis}, not {low} and {high}")


def _overlap(a: VolumeSchema | DeadSchema, b: VolumeSchema) -> bool:
    lower, upper = np.maximum(a.lower, b.lower), np.minimum(a.upper, b.upper)
    return bool((upper - lower > 1e-6).all())


def _check_points(points: Array) -> None:
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"positions must have shape (N, 3), not {points.shape}")
