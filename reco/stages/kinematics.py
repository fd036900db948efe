"""What geometry and charge alone say of each particle: ends, direction, length, energies."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import Field
from scipy.spatial import cKDTree

from reco.data.classes import Semantic
from reco.data.products import Fragments, Kinematics, Particles, Points, Voxels
from reco.data.ragged import Array, Ragged
from reco.ops.csda import KAON_MASS, MUON_MASS, PION_MASS, PROTON_MASS, energy_of_range
from reco.ops.geometry import Path, cone_direction, extremes, line_direction, trace
from reco.ops.orientation import Surroundings, start_score
from reco.ops.scattering import muon_energy
from reco.stages.base import Context, Stage, StageOptions

_MASSES = (MUON_MASS, PION_MASS, PROTON_MASS, KAON_MASS)
_NO_RANGE = np.full(len(_MASSES), np.nan)


class Row(NamedTuple):
    """One particle, in the order of the columns of Kinematics."""

    start: Array
    end: Array
    direction: Array
    length: float
    start_dedx: float
    energy_calo: float
    energy_mcs: float
    energy_csda: Array
    contained: bool


class MakeKinematics(Stage):
    """Tracks are followed from end to end along their voxels; all else is a shower, that starts
    at a predicted point or at the end of its primary fragment, and opens from there."""

    name = "kinematics"

    class Options(StageOptions):
        """shower_factor: energy of a shower over the sum of its voxels. margin,
        wall_fraction: a particle is contained that has at most this part of its energy within so
        many cm of the walls of the detector. point_radius: cm from an end
        within which a predicted point takes its place. vertex_radius: cm around an end in which
        other particles are taken to touch it. dedx_length: cm at the start whose dE/dx is
        given."""

        shower_factor: float = Field(default=1.0, gt=0)
        margin: float = Field(default=2.0, ge=0)
        wall_fraction: float = Field(default=0.01, ge=0, lt=1)
        point_radius: float = Field(default=1.0, ge=0)
        vertex_radius: float = Field(default=1.5, gt=0)
        dedx_length: float = Field(default=3.0, gt=0)

    options: Options

    def __init__(self, options: Options, context: Context) -> None:
        super().__init__(options, context)
        self.detector = context.detector

    def __call__(
        self,
        voxels: Voxels,
        points: Points,
        fragments: Fragments,
        particles: Particles,
    ) -> Kinematics:
        rows: list[Row] = []
        for i in range(len(voxels)):
            scene = Scene(
                voxels.position[i].astype(np.float64),
                voxels.energy[i].astype(np.float64),
                fragments.voxel_fragment[i],
                particles.voxel_particle[i],
                fragments.semantic[i],
                particles.semantic[i],
                _primary_fragments(particles, i),
                points.position[i].astype(np.float64),
                points.type[i],
                points.score[i],
            )
            rows += [self._particle(scene, p) for p in range(len(scene.semantic))]
        return Kinematics(*(particles.id.like(column) for column in _columns(rows)))

    def _particle(self, scene: "Scene", p: int) -> Row:
        if len(scene.rows_of(p)) == 0:
            return _nothing()
        return self._track(scene, p) if scene.is_track(p) else self._shower(scene, p)

    def _track(self, scene: "Scene", p: int) -> Row:
        rows = scene.track_of(p)
        points, energy = scene.position[rows], scene.energy[rows]
        size, density = self.detector.voxel_size, self.detector.density
        path = self._oriented(scene, p, trace(points, size), energy)
        return Row(
            start=scene.point_near(path.nodes[0], self.options.point_radius),
            end=scene.point_near(path.nodes[-1], self.options.point_radius),
            direction=line_direction(path, points),
            length=path.length,
            start_dedx=start_dedx(path.along, energy, self.options.dedx_length, size),
            energy_calo=float(scene.energy[scene.rows_of(p)].sum()),
            energy_mcs=muon_energy(points, path.along, path.length, size, density),
            energy_csda=np.array([energy_of_range(path.length, m, density) for m in _MASSES]),
            contained=self._contained(points, energy),
        )

    def _oriented(self, scene: "Scene", p: int, path: Path, energy: Array) -> Path:
        ends = path.nodes[[0, -1]]
        first, last = (
            scene.around(node, p, self.options.vertex_radius, wall)
            for node, wall in zip(ends, self.detector.wall_distance(ends).tolist(), strict=True)
        )
        return path if start_score(path, energy, first, last) >= 0 else path.reversed()

    def _shower(self, scene: "Scene", p: int) -> Row:
        rows = scene.rows_of(p)
        points, energy = scene.position[rows], scene.energy[rows]
        core = rows[scene.fragment[rows] == scene.primary_fragment[p]]
        start = scene.shower_start(p, core if len(core) else rows, self.options.point_radius)
        # from the voxel: a point off the axis by a millimetre would tilt what lies near it
        origin = points[np.argmin(np.linalg.norm(points - start, axis=1))]
        direction = cone_direction(origin, points, energy)
        along = (points - origin) @ direction
        near = np.linalg.norm(points - origin, axis=1) <= 2 * self.options.dedx_length
        return Row(
            start=start,
            end=points[np.argmax(along)],
            direction=direction,
            length=float(along.max()),
            start_dedx=start_dedx(
                along[near], energy[near], self.options.dedx_length, self.detector.voxel_size
            ),
            energy_calo=float(energy.sum()) * self.options.shower_factor,
            energy_mcs=float("nan"),
            energy_csda=_NO_RANGE,
            contained=self._contained(points, energy),
        )

    def _contained(self, points: Array, energy: Array) -> bool:
        at_walls = energy[self.detector.wall_distance(points) < self.options.margin].sum()
        return bool(at_walls <= self.options.wall_fraction * energy.sum())


@dataclass(frozen=True)
class Scene:
    """One event, as its particles see each other.

    position (N, 3), energy, fragment, particle (N,): of the voxels. fragment_semantic (F,): of
    the fragments. semantic, primary_fragment (P,): of the particles. points (M, 3), point_type,
    point_score (M,): points of interest.
    """

    position: Array
    energy: Array
    fragment: Array
    particle: Array
    fragment_semantic: Array
    semantic: Array
    primary_fragment: Array
    points: Array
    point_type: Array
    point_score: Array

    @cached_property
    def _order(self) -> Array:
        return np.argsort(self.particle, kind="stable")

    @cached_property
    def _cuts(self) -> Array:
        numbers = np.arange(len(self.semantic) + 1)
        return np.searchsorted(self.particle[self._order], numbers)

    @cached_property
    def tree(self) -> cKDTree:
        return cKDTree(self.position)

    def rows_of(self, p: int) -> Array:
        """Voxels of a particle."""
        return self._order[self._cuts[p] : self._cuts[p + 1]]

    def track_of(self, p: int) -> Array:
        """Voxels of a particle in fragments that are tracks, or all if there are none."""
        rows = self.rows_of(p)
        kept = rows[self.fragment_semantic[self.fragment[rows]] == Semantic.TRACK]
        return kept if len(kept) else rows

    def is_track(self, p: int) -> bool:
        return bool(self.semantic[p] == Semantic.TRACK)

    def around(self, end: Array, p: int, radius: float, wall: float) -> Surroundings:
        """Other particles than p with a voxel within radius of an end."""
        near = self.particle[self.tree.query_ball_point(end, radius)]
        classes = self.semantic[np.unique(near[(near >= 0) & (near != p)])].tolist()
        return Surroundings(
            tracks=classes.count(Semantic.TRACK),
            showers=classes.count(Semantic.SHOWER),
            michels=classes.count(Semantic.MICHEL),
            at_wall=wall < radius / 2,
        )

    def point_near(self, end: Array, radius: float) -> Array:
        """The predicted point nearest to an end, if within radius; else the end itself."""
        if len(self.points) == 0:
            return end
        distance = np.linalg.norm(self.points - end, axis=1)
        best = int(np.argmin(distance))
        return self.points[best] if distance[best] <= radius else end

    def shower_start(self, p: int, core: Array, radius: float) -> Array:
        """The best point of the particle's class that lies on its first fragment (voxels core);
        else, where it touches a track, there; else the end of it away from all the rest."""
        fitting = np.flatnonzero(self.point_type == self.semantic[p])
        if len(fitting):
            gap = cKDTree(self.position[core]).query(self.points[fitting])[0]
            fitting = fitting[gap <= radius]
        if len(fitting):
            return self.points[fitting[np.argmax(self.point_score[fitting])]]
        if self.semantic[p] in (Semantic.MICHEL, Semantic.DELTA):
            return self.position[self._root(core)]
        return self.position[self._tip(p, core)]

    def _root(self, core: Array) -> int:
        """Voxel of core nearest to a track."""
        owned = np.flatnonzero(self.particle >= 0)
        tracks = owned[self.semantic[self.particle[owned]] == Semantic.TRACK]
        if len(tracks) == 0:
            return int(core[extremes(self.position[core])[0]])
        gap = cKDTree(self.position[tracks]).query(self.position[core])[0]
        return int(core[np.argmin(gap)])

    def _tip(self, p: int, core: Array) -> int:
        """Of the two outermost voxels of core the one farther from the particle's centre."""
        rows = self.rows_of(p)
        centre = np.average(self.position[rows], axis=0, weights=self.energy[rows])
        ends = core[list(extremes(self.position[core]))]
        return int(ends[np.argmax(np.linalg.norm(self.position[ends] - centre, axis=1))])


def start_dedx(along: Array, energy: Array, length: float, voxel_size: float) -> float:
    """dE/dx over the first `length` cm, MeV/cm.

    along: (N,) distance of the voxels from the start, cm. The first voxel is left out where the
    particle is long enough: it is filled in part only, and shared at a vertex.
    """
    reach = float(along.max())
    if reach < length + 2 * voxel_size:
        return float(energy.sum() / (reach + voxel_size))
    window = (along > voxel_size / 2) & (along <= voxel_size / 2 + length)
    return float(energy[window].sum() / length)


def _primary_fragments(particles: Particles, i: int) -> Array:
    """(P,) fragment of each particle with the highest primary score, -1 for none."""
    owner, score = particles.fragment_particle[i], particles.fragment_primary_score[i]
    best = np.full(len(particles.id[i]), -1)
    rising = np.argsort(score, kind="stable")
    rising = rising[owner[rising] >= 0]
    best[owner[rising]] = rising
    return best


def _nothing() -> Row:
    nowhere = np.full(3, np.nan)
    return Row(nowhere, nowhere, np.zeros(3), 0.0, 0.0, 0.0, np.nan, _NO_RANGE, True)


def _columns(rows: list[Row]) -> list[Array]:
    if rows:
        return [np.array(column) for column in zip(*rows, strict=True)]
    return [column.values for _, column in Kinematics.empty().items() if isinstance(column, Ragged)]
