"""Figures on interactions: vertices and total energies."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reco.data.classes import PID
from reco.data.ragged import Array
from reco.metrics.energy import resolution, summarise_pulls
from reco.metrics.event import Event, take
from reco.metrics.report import Curve, Findings, Row
from reco.metrics.sections.uncertainty import PULLS, energy_pulls, histogram, pull_rows
from reco.metrics.stats import mean
from reco.metrics.tables import Settings
from reco.metrics.vertex import (
    containment_radius,
    fraction_below,
    mahalanobis_squared,
    positive_definite,
    vertex_distance,
    vertex_pulls,
    visible_vertices,
)

TITLE = "Vertex"
DISTANCES = np.linspace(0, 2, 41)
"""cm."""
CHI2_68, CHI2_95 = 3.505882, 7.814728
"""Values that hold 68 and 95 % of a chi-squared with three degrees of freedom."""


@dataclass(frozen=True)
class InteractionRecord:
    """True interactions of one event with a visible primary, K rows.

    n_primaries: (K,) visible ones; n_charged: (K,) of them no photons. matched, contained: (K,)
    bool; inside: (K,) bool, the true vertex lies in the detector. true, found: (K, 3) cm, see
    visible_vertices; covariance: (K, 3, 3) cm^2. true_energy, energy, sigma: (K,) MeV; tail,
    energy_tail: (K,), see Estimates. What is not matched is NaN. simple: (K, 3) cm and
    simple_energy: (K,) MeV, NaN without baselines.
    """

    n_primaries: Array
    n_charged: Array
    inside: Array
    matched: Array
    contained: Array
    true: Array
    found: Array
    covariance: Array
    simple: Array
    true_energy: Array
    energy: Array
    sigma: Array
    simple_energy: Array
    tail: Array
    energy_tail: Array


@dataclass(frozen=True)
class Vertex:
    """Vertices of matched interactions that have a visible primary, and their energies.

    Nothing is seen of a vertex outside the detector (a muon enters); those are counted apart, and
    theirs is the place of entry.
    """

    def observe(self, event: Event) -> InteractionRecord | None:
        truth, found, visible = event.truth_interactions, event.estimates, event.visible
        partner, particles = event.interaction_partners, event.truth_particles
        if truth is None or found is None or partner is None:
            return None
        if visible is None or particles is None:
            return None
        n = len(truth.energy.values)
        seen = visible & particles.is_primary.values & (particles.interaction.values >= 0)
        of_seen = particles.interaction.values[seen]
        primaries = np.bincount(of_seen, minlength=n)
        charged = np.bincount(of_seen[particles.pid.values[seen] > PID.PHOTON], minlength=n)
        rows = np.flatnonzero(primaries > 0)
        inside = _inside(truth.vertex.values, event.settings)
        start, energy = particles.start.values[seen], particles.energy.values[seen]
        true = visible_vertices(truth.vertex.values, inside, of_seen, start, energy)
        of = partner[rows]
        n_found = len(found.vertex.values)
        simple, simple_energy = _simple(event, n_found)
        return InteractionRecord(
            n_primaries=primaries[rows],
            n_charged=charged[rows],
            inside=inside[rows],
            matched=of >= 0,
            contained=truth.contained.values[rows],
            true=true[rows],
            found=take(found.vertex.values, of, np.nan),
            covariance=take(found.vertex_cov.values, of, np.nan),
            simple=take(simple, of, np.nan),
            true_energy=truth.energy.values[rows],
            energy=take(found.interaction_energy.values, of, np.nan),
            sigma=take(found.interaction_energy_sigma.values, of, np.nan),
            simple_energy=take(simple_energy, of, np.nan),
            tail=take(found.vertex_tail.values, of, np.nan),
            energy_tail=take(found.interaction_energy_tail.values, of, np.nan),
        )

    def summarise(self, records: Sequence[InteractionRecord]) -> Findings:
        every = _joined(records)
        n = len(every.matched)
        rows = [
            Row(TITLE, "unmatched", mean(~every.matched), "%", n, "interactions"),
            Row(TITLE, "outside the detector", mean(~every.inside), "%", n, "interactions"),
        ]
        inside = every.matched & every.inside
        for name, kept in (
            ("", inside),
            (", with a visible charged primary", inside & (every.n_charged > 0)),
            (", 2 visible primaries or more", inside & (every.n_primaries > 1)),
            (", place of entry from outside", every.matched & ~every.inside),
        ):
            rows.extend(_vertex_rows(every, kept, name))
        near = vertex_distance(every.found, every.true)[every.inside] < 1.0
        name = "within 1 cm, of all found or not"
        rows.append(Row(TITLE, name, mean(near), "%", len(near), "interactions"))
        parts = (_honesty(every, inside), _energies(every))
        return Findings(
            (*rows, *(row for part in parts for row in part.rows)),
            curves=(_distances(every, inside), *(curve for part in parts for curve in part.curves)),
        )


def _inside(vertex: Array, settings: Settings) -> Array:
    if settings.lower is None or settings.upper is None:
        return np.ones(len(vertex), bool)
    within = (vertex >= np.array(settings.lower)) & (vertex <= np.array(settings.upper))
    return np.asarray(within.all(axis=1))


def _distances(every: InteractionRecord, kept: Array) -> Curve:
    distance = vertex_distance(every.found[kept], every.true[kept])
    known = distance[np.isfinite(distance)]
    return histogram("vertex, distance", "cm from the true one", known, DISTANCES)


def _simple(event: Event, n: int) -> tuple[Array, Array]:
    """(I, 3) geometric vertices and (I,) summed energies of reconstructed interactions."""
    vertex, energy = event.simple_vertices, np.full(n, np.nan)
    if event.simple_energy is not None and event.interactions is not None:
        of = event.interactions.particle_interaction.values
        energy = np.bincount(of[of >= 0], weights=event.simple_energy[of >= 0], minlength=n)
    return (np.full((n, 3), np.nan) if vertex is None else vertex), energy


def _joined(records: Sequence[InteractionRecord]) -> InteractionRecord:
    names = InteractionRecord.__dataclass_fields__
    return InteractionRecord(
        **{name: np.concatenate([getattr(r, name) for r in records]) for name in names}
    )


def _vertex_rows(every: InteractionRecord, kept: Array, suffix: str) -> list[Row]:
    own = vertex_distance(every.found[kept], every.true[kept])
    simple = vertex_distance(every.simple[kept], every.true[kept])
    simple = simple[np.isfinite(simple)]
    n, of = len(own), "matched interactions"
    below = fraction_below(simple) if len(simple) else None
    radius = containment_radius(simple) if len(simple) else None
    return [
        Row(TITLE, f"within 1 cm{suffix}", fraction_below(own), "%", n, of, below),
        Row(TITLE, f"68 % radius{suffix}", containment_radius(own), "cm", n, of, radius),
    ]


def _honesty(every: InteractionRecord, kept: Array) -> Findings:
    columns = (every.found, every.true, every.covariance, every.tail)
    usable = positive_definite(every.covariance[kept])
    found, true, covariance, tail = (column[kept][usable] for column in columns)
    coordinate = vertex_pulls(found, true, covariance).ravel()
    distance = mahalanobis_squared(found, true, covariance)
    rows = pull_rows("vertex", summarise_pulls(coordinate, np.repeat(tail, 3)), "coordinates")
    for share, limit in ((68, CHI2_68), (95, CHI2_95 * tail**2)):
        value, n = mean(distance <= limit), len(distance)
        name = f"vertex, inside the {share} % ellipsoid"
        rows.append(Row("Uncertainties", name, value, "%", n, "vertices"))
    return Findings(tuple(rows), curves=(histogram("vertex", "pull", coordinate, PULLS),))


def _energies(every: InteractionRecord) -> Findings:
    title, rows = "Energy of interactions", []
    for name, of in (("contained", every.contained), ("exiting", ~every.contained)):
        kept = every.matched & of
        own = resolution(every.energy[kept], every.true_energy[kept])
        simple = resolution(every.simple_energy[kept], every.true_energy[kept])
        bias, width = (simple.bias, simple.half_width) if simple.count else (None, None)
        unit = "interactions"
        rows.append(Row(title, f"{name}, bias", own.bias, "%", own.count, unit, bias))
        rows.append(Row(title, f"{name}, half-width", own.half_width, "%", own.count, unit, width))
    columns = (every.energy, every.true_energy, every.sigma, every.energy_tail)
    matched = (column[every.matched] for column in columns)
    honesty = energy_pulls("interaction energy", "interactions", *matched)
    return Findings((*rows, *honesty.rows), curves=honesty.curves)
