"""Figures on what particles are: identity, primary or not, and where showers begin."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reco.data.classes import N_PID, PID, Semantic
from reco.data.products import Fragments, Particles, TruthParticles, VoxelLabels, Voxels
from reco.data.ragged import Array
from reco.metrics.baselines import identity_by_dedx, near_vertex
from reco.metrics.event import Event, take
from reco.metrics.report import Curve, Findings, Row
from reco.metrics.sections.voxels import matrix_of
from reco.metrics.segmentation import accuracy, balanced_accuracy, class_accuracy, confusion_counts
from reco.metrics.stats import mean
from reco.ops.matching import best_iou

PID_NAMES = ("photon", "electron", "muon", "pion", "proton", "kaon")
TITLE = "Particle identity"
ENERGIES = np.array([20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 700.0, 1000.0, 2000.0, 20_000.0])
"""MeV."""
NUMBERS = np.array([1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 25, 101])
"""Edges of the visible primaries per image."""


@dataclass(frozen=True)
class IdentityRecord:
    """Of the visible true particles of one event; pid -1 where unmatched.

    true_pid, pid, simple_pid: (K,) of the primaries with a known pid. energy: (K,) true MeV.
    in_image: (K,) how many such primaries the event has. true_primary, primary, simple_primary:
    (M,) bool, of all that are matched. simple_*: None without baselines.
    """

    true_pid: Array
    energy: Array
    in_image: Array
    pid: Array
    simple_pid: Array | None
    true_primary: Array
    primary: Array
    simple_primary: Array | None


@dataclass(frozen=True)
class Identity:
    """Identity of the true primaries, and whether particles are primaries."""

    def observe(self, event: Event) -> IdentityRecord | None:
        truth, found = event.truth_particles, event.interactions
        partner, visible = event.particle_partners, event.visible
        if truth is None or found is None or partner is None or visible is None:
            return None
        known = visible & truth.is_primary.values & (truth.pid.values >= 0)
        matched = visible & (partner >= 0)
        simple_pid, simple_primary = _simple(event)
        return IdentityRecord(
            truth.pid.values[known],
            truth.energy.values[known],
            np.full(known.sum(), known.sum()),
            take(found.pid.values, partner[known], -1),
            None if simple_pid is None else take(simple_pid, partner[known], -1),
            truth.is_primary.values[matched],
            found.is_primary.values[partner[matched]],
            None if simple_primary is None else simple_primary[partner[matched]],
        )

    def summarise(self, records: Sequence[IdentityRecord]) -> Findings:
        true = np.concatenate([r.true_pid for r in records])
        pid = np.concatenate([r.pid for r in records])
        simple = _joined([r.simple_pid for r in records])
        counts = confusion_counts(true, pid, N_PID)
        simple_counts = None if simple is None else confusion_counts(true, simple, N_PID)
        primaries = np.concatenate([r.true_primary for r in records])
        called = np.concatenate([r.primary for r in records])
        simple_called = _joined([r.simple_primary for r in records])
        rows = _pid_rows(counts, simple_counts)
        for name, of in (("primary", primaries), ("secondary", ~primaries)):
            rows.append(_primary_row(f"{name} accuracy", primaries, called, simple_called, of))
        everything = np.ones(len(primaries), bool)
        name = "primary or secondary accuracy"
        rows.append(_primary_row(name, primaries, called, simple_called, everything))
        return Findings(
            tuple(rows),
            (matrix_of("Identity of primaries", PID_NAMES, counts),),
            (_by_energy(records, true, pid), _by_number(records, true, pid)),
        )


def _by_energy(records: Sequence[IdentityRecord], true: Array, pid: Array) -> Curve:
    """How many primaries of each kind are matched."""
    energy = np.concatenate([r.energy for r in records])
    values = {
        name: _shares(energy[true == kind], (pid >= 0)[true == kind], ENERGIES)
        for kind, name in enumerate(PID_NAMES)
    }
    return _curve("Primaries matched, by true energy", "MeV", energy, ENERGIES, values)


def _by_number(records: Sequence[IdentityRecord], true: Array, pid: Array) -> Curve:
    number = np.concatenate([r.in_image for r in records])
    values = {
        "matched": _shares(number, pid >= 0, NUMBERS),
        "identified": _shares(number, pid == true, NUMBERS),
    }
    name = "Primaries, by number per image"
    return _curve(name, "visible primaries", number, NUMBERS, values)


def _shares(x: Array, right: Array, edges: Array) -> tuple[float, ...]:
    row = np.digitize(x, edges) - 1
    return tuple(mean(right[row == i]) for i in range(len(edges) - 1))


def _curve(
    name: str, x: str, at: Array, edges: Array, values: dict[str, tuple[float, ...]]
) -> Curve:
    count = np.bincount(np.digitize(at, edges), minlength=len(edges) + 1)[1:-1]
    return Curve(name, x, tuple(map(float, edges)), values, tuple(map(int, count)))


def _joined(parts: Sequence[Array | None]) -> Array | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known and len(known) == len(parts) else None


def _pid_rows(counts: Array, simple: Array | None) -> list[Row]:
    matched = counts.copy()
    matched[:, -1] = 0
    simple_matched = None
    if simple is not None:
        simple_matched = simple.copy()
        simple_matched[:, -1] = 0
    n, n_matched = int(counts.sum()), int(matched.sum())

    def row(name: str, value: float, count: int, baseline: float | None = None) -> Row:
        return Row(TITLE, name, value, "%", count, "primaries", baseline)

    rows = [row("matched primaries", n_matched / n if n else float("nan"), n)]
    for name, figure in (
        ("accuracy", accuracy),
        ("balanced accuracy", balanced_accuracy),
        ("balanced accuracy of γ e μ π p", _balanced_without_kaons),
    ):
        for of, own, other, count in (
            ("matched primaries", matched, simple_matched, n_matched),
            ("all primaries", counts, simple, n),
        ):
            baseline = None if other is None else figure(other)
            rows.append(row(f"{name}, {of}", figure(own), count, baseline))
    simple_class = None if simple_matched is None else class_accuracy(simple_matched)
    for i, (name, value) in enumerate(zip(PID_NAMES, class_accuracy(matched), strict=True)):
        baseline = None if simple_class is None else float(simple_class[i])
        rows.append(row(f"{name}, matched", float(value), int(matched[i].sum()), baseline))
    return rows


def _balanced_without_kaons(counts: Array) -> float:
    return mean(class_accuracy(counts)[: PID.KAON])


def _primary_row(name: str, true: Array, pred: Array, simple: Array | None, of: Array) -> Row:
    baseline = None if simple is None else mean((simple == true)[of])
    count = int(of.sum())
    return Row(TITLE, name, mean((pred == true)[of]), "%", count, "matched particles", baseline)


def _simple(event: Event) -> tuple[Array | None, Array | None]:
    vertex = event.simple_vertices
    particles, kinematics, found = event.particles, event.kinematics, event.interactions
    if vertex is None or particles is None or kinematics is None or found is None:
        return None, None
    of_particle = take(vertex, found.particle_interaction.values, np.nan)
    length = kinematics.length.values
    mean_dedx = np.divide(
        kinematics.energy_calo.values, length, out=np.full(len(length), np.nan), where=length > 0
    )
    pid = identity_by_dedx(particles.semantic.values, kinematics.start_dedx.values, mean_dedx)
    return pid, near_vertex(kinematics.start.values, of_particle)


@dataclass(frozen=True)
class ShowerPrimaryRecord:
    """(S,) bool per visible true shower: is it matched, and does the fragment chosen start it?"""

    matched: Array
    right: Array
    simple: Array


@dataclass(frozen=True)
class ShowerPrimary:
    """Of the fragments of a shower, is the one with the highest score the true first?

    The true first fragment holds the voxel nearest to the true start. The fragments of a shower
    are those of the particle it is matched to; a shower that is not matched counts as wrong, but
    for the row on those that are. The simple choice is the largest fragment.
    """

    def observe(self, event: Event) -> ShowerPrimaryRecord | None:
        voxels, labels, truth = event.voxels, event.labels, event.truth_particles
        fragments, particles = event.fragments, event.particles
        partner, visible = event.particle_partners, event.visible
        if voxels is None or labels is None or truth is None or partner is None:
            return None
        if fragments is None or particles is None or visible is None:
            return None
        showers = np.flatnonzero(visible & (truth.semantic.values == Semantic.SHOWER))
        first = _first_fragments(showers, voxels, labels, truth)
        true_of = _true_fragments(fragments, labels)
        scores = (particles.fragment_primary_score.values, fragments.n_voxels.values)
        right, simple = (
            _chosen(partner[showers], particles, score, true_of) == first for score in scores
        )
        return ShowerPrimaryRecord(partner[showers] >= 0, right, simple)

    def summarise(self, records: Sequence[ShowerPrimaryRecord]) -> Findings:
        matched = np.concatenate([r.matched for r in records])
        right = np.concatenate([r.right for r in records])
        simple = np.concatenate([r.simple for r in records])
        return Findings(
            (
                _start_row("primary accuracy", right, simple, "showers"),
                _start_row(
                    "primary accuracy, matched", right[matched], simple[matched], "matched showers"
                ),
            )
        )


def _start_row(name: str, right: Array, simple: Array, of: str) -> Row:
    return Row("Showers", name, mean(right), "%", len(right), of, mean(simple))


def _first_fragments(
    showers: Array, voxels: Voxels, labels: VoxelLabels, truth: TruthParticles
) -> Array:
    """(S,) true fragment at the start of each shower."""
    first = np.full(len(showers), -1, np.int64)
    for i, shower in enumerate(showers):
        own = np.flatnonzero(labels.particle.values == shower)
        offset = voxels.position.values[own] - truth.start.values[shower]
        first[i] = labels.fragment.values[own[np.linalg.norm(offset, axis=1).argmin()]]
    return first


def _true_fragments(fragments: Fragments, labels: VoxelLabels) -> Array:
    """(F,) the true fragment that each fragment overlaps most with; -2 for none."""
    true = labels.fragment.values
    n_true = int(true.max(initial=-1)) + 1
    found = best_iou(fragments.voxel_fragment.values, true, len(fragments.n_voxels.values), n_true)
    return np.where(found.match_a < 0, -2, found.match_a)


def _chosen(partner: Array, particles: Particles, score: Array, true_of: Array) -> Array:
    """(S,) true fragment of the best-scored fragment of each partner; -2 for none."""
    chosen = np.full(len(partner), -2, np.int64)
    for i, particle in enumerate(partner):
        own = np.flatnonzero(particles.fragment_particle.values == particle)
        if particle >= 0 and len(own):
            chosen[i] = true_of[own[score[own].argmax()]]
    return chosen
