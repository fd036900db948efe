"""What geometry and charge alone say of each particle: ends, direction, length, energies."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import Field
from scipy.spatial import cKDTree

from reco.data.classes import N_SEMANTIC, Semantic
from reco.data.products import Fragments, Kinematics, Particles, Points, Voxels
from reco.data.ragged import Array
from reco.ops.csda import KAON_MASS, MUON_MASS, PION_MASS, PROTON_MASS, energy_of_range
from reco.ops.geometry import (
    Groups,
    Path,
    extremes,
    line_direction,
    open_showers,
    start_dedx,
    trace,
)
from reco.ops.neighbours import Grid
from reco.ops.orientation import Surroundings, start_score
from reco.ops.scattering import muon_energy
from reco.stages.base import Context, Stage, StageOptions

_MASSES = (MUON_MASS, PION_MASS, PROTON_MASS, KAON_MASS)


class Table(NamedTuple):
    """The P particles of one event, in the order of the columns of Kinematics."""

    start: Array
    end: Array
    direction: Array
    length: Array
    start_dedx: Array
    energy_calo: Array
    energy_mcs: Array
    energy_csda: Array
    contained: Array

    @staticmethod
    def of(n: int) -> "Table":
        """n particles without any voxel."""
        nowhere = (np.full((n, 3), np.nan), np.full((n, 3), np.nan), np.zeros((n, 3)))
        none = (np.zeros(n), np.zeros(n), np.zeros(n), np.full(n, np.nan))
        return Table(*nowhere, *none, np.full((n, len(_MASSES)), np.nan), np.ones(n, bool))


class MakeKinematics(Stage):
    """Tracks are followed from end to end along their voxels; all else is a shower, that starts
    at a predicted point or at the end of its primary fragment, and opens from there."""

    name = "kinematics"

    class Options(StageOptions):
        """shower_factor: energy of a shower over the sum of its voxels. margin,
        wall_fraction: a particle is contained that has at most this part of its energy within so
        many cm of the walls of the detector, and no end there if it is a track (of a long one,
        the last cm are less than that part). point_radius: cm from an end within which a
        predicted point takes its place. vertex_radius: cm around an end in which
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
        tables = []
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
            tables.append(self._event(scene))
        columns = (np.concatenate(column) for column in zip(*tables, strict=True))
        return Kinematics(*(particles.id.like(column) for column in columns))

    def _event(self, scene: "Scene") -> Table:
        table = Table.of(len(scene.semantic))
        there = scene.body.counts > 0
        self._showers(scene, np.flatnonzero(there & ~scene.is_track), table)
        self._tracks(scene, np.flatnonzero(there & scene.is_track), table)
        calo = scene.total(scene.particle, scene.energy)
        table.energy_calo[:] = np.where(scene.is_track, calo, calo * self.options.shower_factor)
        table.contained[:] = self._contained(scene, table)
        return table

    def _showers(self, scene: "Scene", which: Array, table: Table) -> None:
        """Fill in the rows of these particles."""
        table.start[which] = start = scene.shower_starts(which, self.options.point_radius)
        found = open_showers(
            scene.position,
            scene.energy,
            scene.body.only(which),
            start,
            self.options.dedx_length,
            self.detector.voxel_size,
        )
        table.end[which] = scene.position[found.end]
        table.direction[which] = found.direction
        table.length[which] = found.length
        table.start_dedx[which] = found.start_dedx

    def _tracks(self, scene: "Scene", which: Array, table: Table) -> None:
        """Fill in the rows of these particles."""
        paths = [self._path(scene, p) for p in which.tolist()]
        ends = np.array([path.nodes[[0, -1]] for path in paths]).reshape(-1, 3)
        around = scene.around(ends, np.repeat(which, 2), self.options.vertex_radius)
        near_wall = self.detector.wall_distance(ends) < self.options.vertex_radius / 2
        sides = [
            Surroundings(tracks, showers, michels, wall)
            for (tracks, showers, michels), wall in zip(
                around.tolist(), near_wall.tolist(), strict=True
            )
        ]
        for i, p in enumerate(which.tolist()):
            rows = scene.body.rows(p)
            if start_score(paths[i], scene.energy[rows], *sides[2 * i : 2 * i + 2]) < 0:
                paths[i] = paths[i].reversed()
            self._track(scene, rows, paths[i], p, table)
        ends = np.array([path.nodes[[0, -1]] for path in paths]).reshape(-1, 3)
        ends = scene.points_near(ends, self.options.point_radius)
        table.start[which], table.end[which] = ends[::2], ends[1::2]
        for column, mass in enumerate(_MASSES):
            energy = energy_of_range(table.length[which], mass, self.detector.density)
            table.energy_csda[which, column] = energy

    def _path(self, scene: "Scene", p: int) -> Path:
        return trace(scene.position[scene.body.rows(p)], self.detector.voxel_size)

    def _track(self, scene: "Scene", rows: Array, path: Path, p: int, table: Table) -> None:
        points, energy = scene.position[rows], scene.energy[rows]
        size, density = self.detector.voxel_size, self.detector.density
        table.direction[p] = line_direction(path, points)
        table.length[p] = path.length
        table.start_dedx[p] = start_dedx(path.along, energy, self.options.dedx_length, size)
        table.energy_mcs[p] = muon_energy(points, energy, path.along, path.length, size, density)

    def _contained(self, scene: "Scene", table: Table) -> Array:
        """(P,) bool."""
        outside = scene.total(scene.body_owner, scene.energy * self._at_walls(scene.position))
        whole = scene.total(scene.body_owner, scene.energy)
        at_end = scene.is_track & (self._at_walls(table.start) | self._at_walls(table.end))
        return np.asarray((outside <= self.options.wall_fraction * whole) & ~at_end)

    def _at_walls(self, position: Array) -> Array:
        """(N, 3) -> (N,) bool."""
        return np.asarray(self.detector.wall_distance(position) < self.options.margin)


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
    def is_track(self) -> Array:
        """(P,) bool."""
        return np.asarray(self.semantic == Semantic.TRACK)

    @cached_property
    def body_owner(self) -> Array:
        """(N,) particle whose shape a voxel tells, -1 for none: of a track, those in fragments
        that are tracks, or all if there are none."""
        shown = self.fragment_semantic[self.fragment] == Semantic.TRACK
        return self._where_any(shown, np.flatnonzero(self.is_track))

    @cached_property
    def body(self) -> Groups:
        return Groups.of(self.body_owner, len(self.semantic))

    @cached_property
    def core_owner(self) -> Array:
        """(N,) particle whose first fragment a voxel is in, -1 for none; of a particle without
        a first fragment, all its voxels."""
        first = np.append(self.primary_fragment, -1)[self.particle]
        return self._where_any(self.fragment == first, np.arange(len(self.semantic)))

    def _where_any(self, wanted: Array, particles: Array) -> Array:
        """(N,) particle of each voxel; of these only where wanted, if that is anywhere."""
        choosy = np.zeros(len(self.semantic) + 1, bool)
        choosy[particles] = True
        some = np.zeros(len(choosy), bool)
        some[self.particle[wanted]] = True
        dropped = (choosy & some)[self.particle] & ~wanted
        return np.where(dropped, -1, self.particle)

    @cached_property
    def grid(self) -> Grid:
        return Grid.of(self.position, 1.5)

    def total(self, owner: Array, values: Array) -> Array:
        """(N,) particle of each voxel, -1 for none, and values -> (P,) sums."""
        own = owner >= 0
        return np.bincount(owner[own], values[own], len(self.semantic))

    def around(self, ends: Array, particle: Array, radius: float) -> Array:
        """(E, 3) ends of particles (E,) -> (E, 3) other tracks, showers and Michel electrons with
        a voxel within radius."""
        end, row = self.grid.within(ends, radius)
        near = self.particle[row]
        other = (near >= 0) & (near != particle[end])
        seen = np.unique(end[other] * len(self.semantic) + near[other])
        end, near = np.divmod(seen, max(len(self.semantic), 1))
        counts = np.zeros((len(ends), N_SEMANTIC), np.int64)
        np.add.at(counts, (end, self.semantic[near]), 1)
        return counts[:, [Semantic.TRACK, Semantic.SHOWER, Semantic.MICHEL]]

    def points_near(self, ends: Array, radius: float) -> Array:
        """(E, 3): the predicted point nearest to each end, if within radius; else the end."""
        end, point = Grid.of(self.points, 1.5).within(ends, radius)
        apart = np.sum((ends[end] - self.points[point]) ** 2, axis=1)
        order = np.lexsort((point, apart, end))
        end, best = np.unique(end[order], return_index=True)
        moved = ends.copy()
        moved[end] = self.points[point[order][best]]
        return moved

    def shower_starts(self, which: Array, radius: float) -> Array:
        """(S, 3) of these particles: the best point of the particle's class that lies on its
        first fragment; else, where it touches a track, there; else the end of it away from all
        the rest."""
        core = Groups.of(self.core_owner, len(self.semantic)).only(which)
        ends = extremes(self.position, core)
        row = ends[np.arange(len(which)), self._farther(which, ends)]
        branches = np.isin(self.semantic[which], (Semantic.MICHEL, Semantic.DELTA))
        for i in np.flatnonzero(branches).tolist():
            row[i] = self._root(core.rows(i), ends[i, 0])
        start = self.position[row]
        best = self._best_points(radius)[which]
        start[best >= 0] = self.points[best[best >= 0]]
        return start

    def _best_points(self, radius: float) -> Array:
        """(P,) point of the particle's class with the best score near its core, -1 for none."""
        point, row = self.grid.within(self.points, radius)
        owner = self.core_owner[row]
        fitting = (owner >= 0) & (np.append(self.semantic, -1)[owner] == self.point_type[point])
        point, owner = point[fitting], owner[fitting]
        rising = np.lexsort((-point, self.point_score[point]))
        best = np.full(len(self.semantic), -1)
        best[owner[rising]] = point[rising]
        return best

    def _farther(self, which: Array, ends: Array) -> Array:
        """(S,) 0 or 1: which of two voxels (S, 2) is farther from the particle's centre."""
        weighted = [self.total(self.particle, self.energy * x) for x in self.position.T]
        energy = self.total(self.particle, self.energy)[which]
        centre = np.stack(weighted, axis=1)[which] / energy[:, None]
        apart = np.linalg.norm(self.position[ends] - centre[:, None], axis=2)
        return np.asarray(apart.argmax(axis=1))

    def _root(self, core: Array, outermost: int) -> int:
        """Voxel of core nearest to a track; the outermost one where there is none."""
        if self._tracks is None:
            return outermost
        return int(core[np.argmin(self._tracks.query(self.position[core])[0])])

    @cached_property
    def _tracks(self) -> cKDTree | None:
        """The voxels of all tracks."""
        rows = np.append(self.is_track, False)[self.particle]
        return cKDTree(self.position[rows]) if rows.any() else None


def _primary_fragments(particles: Particles, i: int) -> Array:
    """(P,) fragment of each particle with the highest primary score, -1 for none."""
    owner, score = particles.fragment_particle[i], particles.fragment_primary_score[i]
    best = np.full(len(particles.id[i]), -1)
    rising = np.argsort(score, kind="stable")
    rising = rising[owner[rising] >= 0]
    best[owner[rising]] = rising
    return best
