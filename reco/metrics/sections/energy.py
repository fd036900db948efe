"""Figures on the energies of particles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from reco.data.classes import PID, Semantic
from reco.data.products import Estimates
from reco.data.ragged import Array
from reco.metrics.energy import binned_resolution, pulls, resolution, stops, summarise_pulls
from reco.metrics.event import Event, take
from reco.metrics.report import Curve, Findings, Row
from reco.metrics.sections.uncertainty import pull_rows
from reco.metrics.stats import mean

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
    not estimated. sigma: (K,) MeV, of the chain.
    """

    pid: Array
    semantic: Array
    contained: Array
    length: Array
    energy: Array
    matched: Array
    estimates: Array
    sigma: Array


def contained_showers(pid: PID) -> Callable[[EnergyRecord], Array]:
    def select(of: EnergyRecord) -> Array:
        return (of.pid == pid) & (of.semantic == Semantic.SHOWER) & of.contained

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
CURVES = (
    Selection("electrons, contained", contained_showers(PID.ELECTRON), ()),
    *SELECTIONS[1:],
)


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
        )

    def summarise(self, records: Sequence[EnergyRecord]) -> Findings:
        every = _joined(records)
        rows = [row for selection in SELECTIONS for row in _rows(selection, every)]
        for name, of in (("contained", every.contained), ("exiting", ~every.contained)):
            kept = of & every.matched & (every.pid >= 0)
            pull = pulls(every.estimates[kept, 0], every.energy[kept], every.sigma[kept])
            label = f"energy of {name} particles"
            rows.extend(pull_rows(label, summarise_pulls(pull), "particles"))
        curves = (_curve(of.name, every, of.select(every)) for of in CURVES)
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
            row(f"half-width by {method} alone", found[method].half_width, found[method].count)
            for method in selection.methods
        ),
    ]


def _curve(name: str, every: EnergyRecord, kept: Array) -> Curve:
    bins = binned_resolution(every.estimates[kept, 0], every.energy[kept], EDGES)
    return Curve(
        name,
        tuple(map(float, EDGES)),
        tuple(b.bias for b in bins),
        tuple(b.half_width for b in bins),
        tuple(b.count for b in bins),
    )
