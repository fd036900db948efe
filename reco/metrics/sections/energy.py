"""Figures on the energies of particles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isnan

import numpy as np

from reco.data.classes import PID, Semantic
from reco.data.products import Estimates
from reco.data.ragged import Array
from reco.metrics.energy import (
    Resolution,
    binned_resolution,
    resolution,
    shower_resolution,
    stops,
)
from reco.metrics.event import Event, take
from reco.metrics.report import Curve, Findings, Row
from reco.metrics.sections.uncertainty import RESIDUALS, energy_pulls, histogram
from reco.metrics.stats import mean, median

TITLE = "Energy of particles"
ESTIMATORS = ("chain", "sum of charge", "calorimetry", "range", "scattering")
"""The chain's answer, the simple one, and the single methods that the chain could fall back on."""
EDGES = np.array([20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 700.0, 1000.0, 2000.0])
"""MeV."""
EXITING_LENGTH = 100.0
"""cm an exiting muon must run inside."""


@dataclass(frozen=True)
class EnergyRecord:
    """Visible true particles of one event, K rows.

    energy: (K,) true MeV. estimates: (K, 5) MeV, a column per estimator, NaN where unmatched or
    not estimated. sigma: (K,) MeV and tail: (K,), see Estimates, of the chain.
    """

    pid: Array
    semantic: Array
    contained: Array
    length: Array
    energy: Array
    matched: Array
    estimates: Array
    sigma: Array
    tail: Array


def contained_showers(*pids: PID) -> Callable[[EnergyRecord], Array]:
    def select(of: EnergyRecord) -> Array:
        return np.isin(of.pid, pids) & (of.semantic == Semantic.SHOWER) & of.contained

    return select


def electrons_300_700(of: EnergyRecord) -> Array:
    in_range = (of.energy >= 300) & (of.energy <= 700)
    return contained_showers(PID.ELECTRON)(of) & in_range


def stopping(pid: PID) -> Callable[[EnergyRecord], Array]:
    """Contained, and the true path as long as the CSDA range."""

    def select(of: EnergyRecord) -> Array:
        return (of.pid == pid) & of.contained & stops(pid, of.energy, of.length)

    return select


def contained_pions(of: EnergyRecord) -> Array:
    return (of.pid == PID.PION) & of.contained


def exiting_muons(of: EnergyRecord) -> Array:
    return (of.pid == PID.MUON) & ~of.contained & (of.length > EXITING_LENGTH)


@dataclass(frozen=True)
class Selection:
    """A kind of particle, and the single methods (of ESTIMATORS) that make sense for it."""

    name: str
    select: Callable[[EnergyRecord], Array]
    methods: tuple[str, ...]


SELECTIONS = (
    Selection("electrons 300-700 MeV, contained", electrons_300_700, ("calorimetry",)),
    Selection("photons, contained", contained_showers(PID.PHOTON), ("calorimetry",)),
    Selection("stopping muons", stopping(PID.MUON), ("calorimetry", "range", "scattering")),
    Selection("stopping protons", stopping(PID.PROTON), ("calorimetry", "range")),
    Selection("pions, contained", contained_pions, ("calorimetry", "range")),
    Selection("muons above 1 m, exiting", exiting_muons, ("calorimetry", "scattering")),
)
SHOWERS = Selection("showers, contained", contained_showers(PID.PHOTON, PID.ELECTRON), ())
CURVES = (
    SHOWERS,
    Selection("electrons, contained", contained_showers(PID.ELECTRON), ()),
    *SELECTIONS[1:],
)
FIT_FROM, FIT_COUNT = 100.0, 20
"""MeV, and showers, from which a bin counts in the fit of their resolution."""


@dataclass(frozen=True)
class Energy:
    """Bias and resolution of matched particles of a kind, pulls and coverage."""

    def observe(self, event: Event) -> EnergyRecord | None:
        truth, found = event.truth_particles, event.estimates
        partner, visible = event.particle_partners, event.visible
        if truth is None or found is None or partner is None or visible is None:
            return None
        rows = np.flatnonzero(visible)
        of = partner[rows]
        return EnergyRecord(
            pid=truth.pid.values[rows],
            semantic=truth.semantic.values[rows],
            contained=truth.contained.values[rows],
            length=truth.length.values[rows],
            energy=truth.energy.values[rows],
            matched=of >= 0,
            estimates=take(_estimates(event, found), of, np.nan),
            sigma=take(found.energy_sigma.values, of, np.nan),
            tail=take(found.energy_tail.values, of, np.nan),
        )

    def summarise(self, records: Sequence[EnergyRecord]) -> Findings:
        every = _joined(records)
        rows = [row for selection in SELECTIONS for row in _rows(selection, every)]
        rows += _fit_rows(every, SHOWERS.select(every))
        curves = [_curve(of.name, every, of.select(every)) for of in CURVES]
        curves += [_residuals(of.name, every, of.select(every)) for of in CURVES]
        for name, of in (("contained", every.contained), ("exiting", ~every.contained)):
            kept = of & every.matched & (every.pid >= 0)
            columns = (every.estimates[:, 0], every.energy, every.sigma, every.tail)
            label = f"energy of {name} particles"
            found = energy_pulls(label, "particles", *(column[kept] for column in columns))
            rows += found.rows
            curves += found.curves
        return Findings(tuple(rows), curves=tuple(curves))


def _estimates(event: Event, found: Estimates) -> Array:
    """(P, 5) MeV, NaN where there is no such product."""
    table = np.full((len(found.energy.values), len(ESTIMATORS)), np.nan)
    table[:, 0] = found.energy.values
    if event.simple_energy is not None:
        table[:, 1] = event.simple_energy
    if event.kinematics is not None:
        table[:, 2] = event.kinematics.energy_calo.values
        table[:, 4] = event.kinematics.energy_mcs.values
    if event.physics is not None:
        table[:, 3] = event.physics.energy_range.values
    return table


def _joined(records: Sequence[EnergyRecord]) -> EnergyRecord:
    names = EnergyRecord.__dataclass_fields__
    return EnergyRecord(
        **{name: np.concatenate([getattr(r, name) for r in records]) for name in names}
    )


def _rows(selection: Selection, every: EnergyRecord) -> list[Row]:
    kept = selection.select(every)
    true, estimates = every.energy[kept], every.estimates[kept]
    found = {name: resolution(estimates[:, i], true) for i, name in enumerate(ESTIMATORS)}
    chain, simple = found["chain"], found["sum of charge"]
    bias, width = (simple.bias, simple.half_width) if simple.count else (None, None)

    def row(name: str, value: float, count: int, baseline: float | None = None) -> Row:
        return Row(TITLE, f"{selection.name}, {name}", value, "%", count, "particles", baseline)

    return [
        row("matched", mean(every.matched[kept]), len(true)),
        row("bias", chain.bias, chain.count, bias),
        row("half-width", chain.half_width, chain.count, width),
        *(
            row(f"half-width by {method} alone", _to_scale(found[method]), found[method].count)
            for method in selection.methods
        ),
    ]


def _to_scale(found: Resolution) -> float:
    """The half-width with the best constant: a sum that is too low is not more precise for it."""
    return found.half_width / (1 + found.bias)


def _fit_rows(every: EnergyRecord, kept: Array) -> list[Row]:
    """Of the chain and, as a baseline, of the simple sum."""
    fits, n = [], 0
    for column in (0, 1):
        true, bins = every.energy[kept], []
        for low, high in pairwise(EDGES[EDGES >= FIT_FROM]):
            of = (true >= low) & (true < high)
            found = resolution(every.estimates[kept, column][of], true[of])
            if found.count >= FIT_COUNT and found.half_width > 0:
                bins.append((median(true[of]), found.half_width, found.count))
        fits.append(shower_resolution(*np.array(bins).reshape(-1, 3).T))
        n = n if column else int(sum(count for *_, count in bins))
    names = ("constant term a of a + b/sqrt(E/GeV)", "term b of a + b/sqrt(E/GeV)")
    simple = [None if isnan(value) else value for value in fits[1]]
    return [
        Row(TITLE, f"{SHOWERS.name}, {name}", own, "%", n, "particles", other)
        for name, own, other in zip(names, fits[0], simple, strict=True)
    ]


def _curve(name: str, every: EnergyRecord, kept: Array) -> Curve:
    bins = binned_resolution(every.estimates[kept, 0], every.energy[kept], EDGES)
    return Curve(
        f"{name}, by true energy",
        "MeV",
        tuple(map(float, EDGES)),
        {"bias": tuple(b.bias for b in bins), "half-width": tuple(b.half_width for b in bins)},
        tuple(b.count for b in bins),
    )


def _residuals(name: str, every: EnergyRecord, kept: Array) -> Curve:
    true, found = every.energy[kept], every.estimates[kept, 0]
    known = np.isfinite(found) & (true > 0)
    residual = (found[known] - true[known]) / true[known]
    return histogram(f"{name}, energy", "(found - true) / true", residual, RESIDUALS)
