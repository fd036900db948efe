"""Training of the transformer: vertices and energies, with honest widths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import permutations, product

import numpy as np
import torch

from reco.data.bundle import Bundle
from reco.data.classes import PID, Semantic
from reco.data.products import (
    Interactions,
    Particles,
    TruthInteractions,
    TruthParticles,
    VoxelLabels,
)
from reco.data.ragged import Array
from reco.detector import Detector
from reco.metrics.energy import stops
from reco.metrics.vertex import visible_vertices
from reco.nn.transformer import (
    GROUPS,
    InteractionInput,
    InteractionOutput,
    InteractionTransformer,
    place_mask,
    places,
    sigma,
)
from reco.ops.matching import best_iou
from reco.stages.estimates import Estimate
from reco.stages.interaction_input import N_ENERGY_LIKE, UPSTREAM, event_input, join, pad
from reco.train.estimate_figures import KINDS, Found, factor, figures, tails
from reco.train.loop import SampleTask

NEEDS = (*UPSTREAM, VoxelLabels, TruthParticles, TruthInteractions)
"""Products of an event that the transformer learns from."""

FREEDOM = 4.0
"""Degrees of freedom of the likelihood, Student's t: a few misreconstructed particles in a hundred
would take the widths of a normal distribution hostage."""
MIN_IOU, VISIBLE = 0.5, 3
"""Overlap above which two are partners, and voxels from which a true particle that is no low-energy
scatter is visible: as in `reco evaluate`, whose population the widths are fitted on."""
NOTABLE = 50.0
"""MeV from which a visible particle counts in full; primaries always do."""
SLIGHT, BLIP = 0.3, 0.05
"""Weights of the other visible ones, and of the rest: two of three particles are a few voxels of a
low-energy scatter, that nobody looks at."""
BETA, TYPICAL_WIDTH = 0.25, 0.05
"""Stopping muons, known to 2 %, would drown showers, known to 6 %: the term of a particle is
multiplied by width^(2 beta) (arXiv:2203.09168)."""
SIZES = (8, 30)
"""Particles and points up to which interactions are learnt together: half have three particles or
fewer, and need not be padded to the 48 of a few."""
NEAREST_SCALE = 0.3
"""cm by which a place may be farther from the vertex than the nearest and still be right."""
ENERGY_JITTER = 0.02
"""Relative spread of the energy scale between interactions."""
POSITION_JITTER = 0.05
"""cm."""
DROPPED_POINTS = 0.1
ROUNDS = 4
"""Of fitting the factors; the sigma of an energy does not grow in proportion to its width."""
CHUNK = 16
"""Events validated together."""

_TURNS = torch.tensor(
    [
        [[sign[i] * float(axes[i] == j) for j in range(3)] for i in range(3)]
        for axes in permutations(range(3))
        for sign in product((1.0, -1.0), repeat=3)
    ]
)
"""(48, 3, 3), the symmetries of the cube."""


@dataclass(frozen=True)
class Targets:
    """vertex: (I, 3) cm from the origin; has_vertex: (I,) bool, it lies in the detector
    and a primary is visible.
    energy: (I, T) log of MeV; weight: (I, T), 0 where there is no true particle, above BLIP where
    it is visible. kind: (I, T) int64, row of KINDS or -1. contained: (I, T) bool. total: (I,) log
    of MeV; has_total: (I,) bool."""

    vertex: torch.Tensor
    has_vertex: torch.Tensor
    energy: torch.Tensor
    weight: torch.Tensor
    kind: torch.Tensor
    contained: torch.Tensor
    total: torch.Tensor
    has_total: torch.Tensor


_PER_PARTICLE = ("energy", "weight", "kind", "contained")
"""Columns of Targets that are padded."""


@dataclass(frozen=True)
class Sample:
    """One event that has an interaction."""

    input: InteractionInput
    targets: Targets


def sample_of(event: Bundle, detector: Detector) -> Sample:
    """One event with truth, reduced to what is learnt."""
    made = event_input(event, detector)
    truth, whole = event[TruthParticles], event[TruthInteractions]
    found, labels = event[Particles].voxel_particle, event[VoxelLabels]
    weight = _weights(truth, labels.particle.values)
    partner = partners(found.values, labels.particle.values, len(weight))
    of_particle = _rows(partner, made.particle)
    seen = weight > BLIP
    vertex, total, shown = _vertices(whole, truth, seen, detector)
    partner = partners(
        event[Interactions].voxel_interaction.values, labels.interaction.values, len(total)
    )
    of_interaction = _rows(partner, made.interaction)
    has_vertex = _take(shown, of_interaction, False)
    place = _take(vertex, of_interaction, 0.0) - made.origin
    columns = {
        "vertex": np.where(has_vertex[:, None], place, 0.0).astype(np.float32),
        "has_vertex": has_vertex,
        "energy": _log(_take(truth.energy.values, of_particle, 0)),
        "weight": _take(weight, of_particle, 0),
        "kind": _take(_kinds(truth), of_particle, -1),
        "contained": _take(truth.contained.values, of_particle, False),
        "total": _log(_take(total, of_interaction, 0)),
        "has_total": _take(total, of_interaction, 0) > 0,
    }
    return Sample(made.input, Targets(**{k: torch.from_numpy(v) for k, v in columns.items()}))


def _weights(truth: TruthParticles, label: Array) -> Array:
    """(P,) float32 of true particles. label: (N,) row of each voxel, -1 for none."""
    pid, energy = truth.pid.values, truth.energy.values
    size = np.bincount(label[label >= 0], minlength=len(pid))
    visible = (size >= VISIBLE) & (truth.semantic.values != Semantic.LOW_ENERGY)
    full = truth.is_primary.values | (energy > NOTABLE)
    weight = np.where(visible, np.where(full, 1.0, SLIGHT), BLIP)
    return np.asarray(weight * ((pid >= 0) & (energy > 0)), np.float32)


def _vertices(
    whole: TruthInteractions, truth: TruthParticles, seen: Array, detector: Detector
) -> tuple[Array, Array, Array]:
    """(I, 3) cm, see visible_vertices, (I,) MeV, 0 where no primary is seen, and (I,) bool: is one?
    seen: (P,) bool."""
    vertex, of = whole.vertex.values, truth.interaction.values
    primary = np.flatnonzero(seen & truth.is_primary.values & (of >= 0))
    of, start, energy = of[primary], truth.start.values[primary], truth.energy.values[primary]
    inside = np.all((vertex >= detector.lower) & (vertex <= detector.upper), axis=1)
    shown = np.bincount(of, minlength=len(vertex)) > 0
    place = visible_vertices(vertex, inside, of, start, energy)
    return place, np.where(shown, whole.energy.values, 0.0), shown


def partners(found: Array, true: Array, n_true: int) -> Array:
    """(N,) numbers of the same voxels, -1 for none -> (largest of found + 1,), the true number that
    each found one shares more than MIN_IOU with, -1 for none: a piece of a shower does not have its
    energy."""
    best = best_iou(found, true, int(found.max(initial=-1)) + 1, n_true)
    return np.where(best.iou_a > MIN_IOU, best.match_a, -1)


def _rows(best: Array, wanted: Array) -> Array:
    """best[wanted], -1 where wanted is -1 or has no voxel."""
    filled = np.append(best, -1)
    return filled[np.where(wanted < len(best), wanted, -1)]


def _take(values: Array, rows: Array, fill: float) -> Array:
    filled = np.concatenate([values, np.full((1, *values.shape[1:]), fill, values.dtype)])
    return filled[rows]


def _log(energy: Array) -> Array:
    return np.log(np.maximum(energy, 1e-3)).astype(np.float32)


def _kinds(truth: TruthParticles) -> Array:
    """(P,) int64 row of KINDS."""
    pid, energy, contained = (c.values for c in (truth.pid, truth.energy, truth.contained))
    kind = np.full(len(pid), -1, np.int64)
    for row, of in enumerate((PID.MUON, PID.PROTON)):
        kind[(pid == of) & contained & stops(of, energy, truth.length.values)] = row
    electron = (pid == PID.ELECTRON) & (truth.semantic.values == Semantic.SHOWER)
    kind[electron & contained & (energy >= 300) & (energy <= 700)] = KINDS.index("electron")
    return kind


def collate(samples: Sequence[Sample]) -> Sample:
    """Join events (at least one)."""
    batch = join([s.input for s in samples])
    n = batch.particle_mask.shape[1]
    columns = {}
    for f in fields(Targets):
        parts = [getattr(s.targets, f.name) for s in samples]
        columns[f.name] = torch.cat([pad(p, n) if f.name in _PER_PARTICLE else p for p in parts])
    return Sample(batch, Targets(**columns))


def by_size(sample: Sample) -> list[Sample]:
    """The interactions in groups by SIZES, each padded no further than it needs."""
    batch = sample.input
    size = batch.particle_mask.sum(dim=1) + batch.point_mask.sum(dim=1)
    group = torch.bucketize(size, torch.tensor(SIZES))
    rows = (torch.nonzero(group == g)[:, 0] for g in range(len(SIZES) + 1))
    return [_part(sample, chosen) for chosen in rows if len(chosen)]


def _part(sample: Sample, rows: torch.Tensor) -> Sample:
    batch, targets = sample.input, sample.targets
    n, m = (_longest(mask[rows]) for mask in (batch.particle_mask, batch.point_mask))
    return Sample(
        InteractionInput(
            **{name: v[rows, : m if name[:5] == "point" else n] for name, v in vars(batch).items()}
        ),
        Targets(
            **{
                name: v[rows, :n] if name in _PER_PARTICLE else v[rows]
                for name, v in vars(targets).items()
            }
        ),
    )


def _longest(mask: torch.Tensor) -> int:
    """(I, T) bool -> columns up to the last that is true."""
    return int(mask.any(dim=0).nonzero().max()) + 1 if mask.any() else 0


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
    """Turn and mirror each interaction, change its energy scale, move its places, drop points."""
    batch, targets = sample.input, sample.targets
    n = len(batch)
    turn = _TURNS[torch.from_numpy(rng.integers(len(_TURNS), size=n))]
    scale = torch.from_numpy(rng.normal(0, ENERGY_JITTER, n).astype(np.float32))[:, None]
    methods, scalars = batch.methods.clone(), batch.scalars.clone()
    methods[..., 0] += scale
    scalars[..., :N_ENERGY_LIKE] += scale[..., None]
    keep = torch.from_numpy(rng.random(batch.point_mask.shape) >= DROPPED_POINTS)
    turned = replace(
        batch,
        scalars=scalars,
        methods=methods,
        start=_moved(batch.start @ turn, batch.particle_mask, rng),
        end=_moved(batch.end @ turn, batch.particle_mask, rng),
        direction=batch.direction @ turn,
        point=_moved(batch.point @ turn, batch.point_mask, rng),
        point_mask=batch.point_mask & keep,
    )
    vertex = (targets.vertex[:, None] @ turn)[:, 0]
    return Sample(turned, replace(targets, vertex=vertex))


def _moved(place: torch.Tensor, there: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    by = rng.normal(0, POSITION_JITTER, place.shape).astype(np.float32)
    return place + torch.from_numpy(by) * there[..., None]


def losses(
    output: InteractionOutput, batch: InteractionInput, targets: Targets
) -> dict[str, torch.Tensor]:
    """The terms of the loss: which place, how far from the vertex, and the energies; (2,) each, the
    weighted sum and the weight, that parts of a batch add up."""
    chosen, whole = targets.has_vertex.float(), targets.has_total.float()
    miss = vertex_loss(targets.vertex - output.vertex, output.vertex_cov)
    total = student(targets.total - output.total, output.total_width)
    energy = student(targets.energy - output.energy, output.energy_width)
    heard = (output.energy_width.detach() / TYPICAL_WIDTH) ** (2 * BETA)
    return {
        "place": _sum(place_loss(output.candidates, batch, targets), chosen),
        "vertex": _sum(0.5 * miss, chosen),
        "energy": _sum(energy * heard, targets.weight),
        "total": _sum(0.5 * total, whole),
    }


def place_loss(candidates: torch.Tensor, batch: InteractionInput, targets: Targets) -> torch.Tensor:
    """(I,) cross entropy of the choice; places about as near as the nearest share the target."""
    there = place_mask(batch)
    distance = (places(batch) - targets.vertex[:, None]).norm(dim=2)
    wanted = (-distance / NEAREST_SCALE).masked_fill(~there, -torch.inf).softmax(dim=1)
    return -(wanted * candidates.masked_fill(~there, 0.0)).sum(dim=1)


def vertex_loss(residual: torch.Tensor, covariance: torch.Tensor) -> torch.Tensor:
    """(I, 3) cm and (I, 3, 3) cm2 -> (I,) negative logarithm of Student's t in three dimensions,
    but for a constant."""
    root = torch.linalg.cholesky(covariance.double())
    scaled = torch.linalg.solve_triangular(root, residual.double()[..., None], upper=False)
    distance = scaled.square().sum(dim=(1, 2))
    logarithm = root.diagonal(dim1=1, dim2=2).log().sum(dim=1)
    return (logarithm + (FREEDOM + 3) / 2 * torch.log1p(distance / FREEDOM)).float()


def student(residual: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Negative logarithm of Student's t, but for a constant."""
    pull = residual / width
    return width.log() + (FREEDOM + 1) / 2 * torch.log1p(pull.square() / FREEDOM)


def _sum(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    kept = torch.where(weight > 0, values, torch.zeros_like(values))
    return torch.stack([(kept * weight).sum(), weight.sum()])


class EstimatesTask(SampleTask[Sample]):
    """See Task."""

    module: InteractionTransformer

    def loss(self, events: Sequence[int], rng: np.random.Generator) -> dict[str, torch.Tensor]:
        sample = augment(collate([self.samples[i] for i in events]), rng)
        parts = [self._on_device(part) for part in by_size(sample)]
        terms = [losses(self.module(batch), batch, targets) for batch, targets in parts]
        sums = {n: torch.stack([part[n] for part in terms]).sum(dim=0) for n in terms[0]}
        return {name: part[0] / part[1].clamp_min(1.0) for name, part in sums.items()}

    def validate(self) -> dict[str, float]:
        return figures(self._found())

    def finish(self) -> dict[str, float]:
        """Set the factors on the widths so that the pulls of the validation events have width 1;
        once, after training. Returns them."""
        for scale in (self.module.vertex_scale, self.module.energy_scale, self.module.total_scale):
            scale.fill_(1.0)
        for _ in range(ROUNDS):
            self._rescale()
        self._fit_tails()
        energy = zip(GROUPS, self.module.energy_scale.tolist(), strict=True)
        return {
            "vertex_scale": float(self.module.vertex_scale),
            **{f"energy_scale_{name}": scale for name, scale in energy},
            "total_scale_exiting": float(self.module.total_scale[0]),
            "total_scale_contained": float(self.module.total_scale[1]),
        }

    def _rescale(self) -> None:
        with torch.inference_mode():
            found = self._found()
        self.module.vertex_scale.mul_(factor(found.miss, found.vertex_sigma))
        # Of what truly leaves, as in `reco evaluate`; its sigma is that of what seems to.
        kind = found.group // 2 * 2 + found.contained
        for scale, of, group in (
            (self.module.energy_scale, found.energy, kind),
            (self.module.total_scale, found.total, found.total_contained),
        ):
            for row in range(len(scale)):
                true, energy, sigma = of[group == row][:, :3].T
                scale[row] *= factor(energy - true, sigma)

    def _fit_tails(self) -> None:
        module = self.module
        with torch.inference_mode():
            found = self._found()
        vertex = found.vertex_sigma
        module.vertex_tail.copy_(tails(found.miss / vertex, np.sqrt((vertex**2).mean(axis=1))))
        for table, of, group in (
            (module.energy_tail, found.energy, found.group),
            (module.total_tail, found.total, found.total_contained),
        ):
            for row in range(len(table)):
                true, energy, sigma = of[group == row][:, :3].T
                width = np.arcsinh(sigma / energy)
                table[row].copy_(tails(((energy - true) / sigma)[:, None], width))

    def _on_device(self, sample: Sample) -> tuple[InteractionInput, Targets]:
        device = self.module.summary.device
        moved = {f.name: getattr(sample.targets, f.name).to(device) for f in fields(Targets)}
        return sample.input.to(device), Targets(**moved)

    def _found(self) -> Found:
        parts = [_found(*part) for part in self._evaluated()]
        names = Found.__dataclass_fields__
        return Found(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})

    def _evaluated(self) -> Iterator[tuple[InteractionOutput, InteractionInput, Targets]]:
        for first in range(0, len(self.held_out), CHUNK):
            batch, targets = self._on_device(collate(self.held_out[first : first + CHUNK]))
            yield self.module(batch), batch, targets


def _found(output: InteractionOutput, batch: InteractionInput, targets: Targets) -> Found:
    vertex, of = targets.has_vertex, targets.weight > BLIP
    whole = targets.has_total
    reference = batch.methods.gather(2, batch.preferred[..., None])[..., 0]
    primaries = (reference.exp() * (batch.primary > 0.5) * batch.particle_mask).sum(dim=1)
    contained = (batch.contained | ~batch.particle_mask).all(dim=1)
    return Found(
        miss=_array((output.vertex - targets.vertex)[vertex]),
        simple_miss=_array(-targets.vertex[vertex]),
        vertex_sigma=_array(output.vertex_cov.diagonal(dim1=1, dim2=2).sqrt()[vertex]),
        energy=_energies(targets.energy, output.energy, output.energy_width, reference.exp())[
            _array(of) > 0
        ],
        kind=_array(targets.kind[of]),
        contained=_array(targets.contained[of]),
        group=_array(batch.group[of]),
        total=_energies(targets.total, output.total, output.total_width, primaries)[
            _array(whole) > 0
        ],
        total_contained=_array(contained[whole]).astype(int),
    )


def _energies(
    true: torch.Tensor, found: torch.Tensor, width: torch.Tensor, simple: torch.Tensor
) -> Array:
    """(..., 4) MeV: true, found, its sigma, by the reference."""
    columns = (true.exp(), found.exp(), sigma(found, width), simple)
    return _array(torch.stack(columns, dim=-1))


def _array(values: torch.Tensor) -> Array:
    array: Array = values.detach().cpu().numpy()
    return array


def learnt(stage: Estimate, event: Bundle) -> Sample | None:
    """See train.run.Recipe; an event without an interaction teaches nothing."""
    sample = sample_of(event, stage.context.detector)
    return sample if len(sample.input) else None


def task(stage: Estimate, samples: Sequence[Sample], held_out: Sequence[Sample]) -> EstimatesTask:
    """See train.run.Recipe."""
    return EstimatesTask(stage.module, samples, held_out)
