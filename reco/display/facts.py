"""The numbers of particles and interactions, as text for a table and for the pointer."""

from collections.abc import Callable, Mapping

import numpy as np

from reco.data.classes import PID, Semantic
from reco.data.ragged import Array

Table = Mapping[str, Array]
"""Columns of one table in one event, by name; what the event has not is not there."""
Facts = dict[str, tuple[str, ...]]
"""Heading -> a text per row."""

NOTHING = "–"
PIDS = {
    PID.UNKNOWN: "other",
    PID.PHOTON: "γ",
    PID.ELECTRON: "e",
    PID.MUON: "μ",
    PID.PION: "π",
    PID.PROTON: "p",
    PID.KAON: "K",
}
CLASSES = {
    Semantic.UNKNOWN: "unknown",
    Semantic.SHOWER: "shower",
    Semantic.TRACK: "track",
    Semantic.MICHEL: "Michel",
    Semantic.DELTA: "δ",
    Semantic.LOW_ENERGY: "low energy",
}


def number(value: float) -> str:
    """Three digits that count; a dash for NaN."""
    if not np.isfinite(value):
        return NOTHING
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def measured(value: float, sigma: float) -> str:
    """Two digits of the error that count, and the value as far."""
    if not (np.isfinite(value) and np.isfinite(sigma) and sigma > 0):
        return f"{number(value)} ± {number(sigma)}"
    digits = max(1 - int(np.floor(np.log10(sigma))), 0)
    return f"{value:.{digits}f} ± {sigma:.{digits}f}"


def particle_facts(table: Table) -> Facts:
    """Of `particles` or `truth_particles`."""
    columns = {
        "type": _words(table, "pid", PIDS) or _words(table, "semantic", CLASSES),
        "class": _words(table, "semantic", CLASSES),
        "energy [MeV]": _with_sigma(table, "energy", "energy_sigma"),
        "calorimetric [MeV]": _column(table, "energy_calo", number),
        "deposited [MeV]": _column(table, "energy_deposit", number),
        "range [MeV]": _column(table, "energy_range", number),
        "scattering [MeV]": _column(table, "energy_mcs", number),
        "length [cm]": _column(table, "length", number),
        "dE/dx at start [MeV/cm]": _column(table, "start_dedx", number),
        "primary": _column(table, "is_primary", _yes),
        "contained": _column(table, "contained", _yes),
        "interaction": _column(table, "interaction", _row),
        "parent": _column(table, "parent", _row),
        "PDG": _column(table, "pdg", str),
        "match (IoU)": _match(table),
    }
    return {heading: cells for heading, cells in columns.items() if cells is not None}


def interaction_facts(table: Table) -> Facts:
    """Of `interactions` or `truth_interactions`."""
    columns = {
        "topology": _column(table, "topology", _text),
        "energy [MeV]": _with_sigma(table, "energy", "energy_sigma"),
        "neutrino PDG": _column(table, "pdg", lambda pdg: str(pdg) if pdg else NOTHING),
        "particles": _column(table, "n_particles", str),
        "contained": _column(table, "contained", _yes),
        "vertex [cm]": _vector(table.get("vertex")),
        "± [cm]": _vector(_sigmas(table.get("vertex_cov"))),
        "match (IoU)": _match(table),
    }
    return {heading: cells for heading, cells in columns.items() if cells is not None}


Cells = tuple[str, ...] | None


def _column(table: Table, name: str, text: Callable[..., str]) -> Cells:
    return tuple(map(text, table[name].tolist())) if name in table else None


def _words(table: Table, name: str, words: Mapping[PID, str] | Mapping[Semantic, str]) -> Cells:
    known = {int(key): word for key, word in words.items()}
    return _column(table, name, lambda value: known.get(value, NOTHING))


def _with_sigma(table: Table, name: str, sigma: str) -> Cells:
    if name not in table or sigma not in table:
        return _column(table, name, number)
    return tuple(map(measured, table[name].tolist(), table[sigma].tolist()))


def _match(table: Table) -> Cells:
    rows, overlaps = _column(table, "match", _row), _column(table, "match_iou", "{:.2f}".format)
    if rows is None or overlaps is None:
        return rows
    return tuple(
        row if row == NOTHING else f"{row} ({iou})" for row, iou in zip(rows, overlaps, strict=True)
    )


def _vector(values: Array | None) -> Cells:
    if values is None:
        return None
    return tuple(", ".join(map(number, row)) for row in values.tolist())


def _sigmas(covariance: Array | None) -> Array | None:
    if covariance is None:
        return None
    variance = np.diagonal(covariance, axis1=1, axis2=2).astype(np.float64)
    sigmas: Array = np.sqrt(np.maximum(variance, 0))
    return sigmas


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _row(value: int) -> str:
    return str(value) if value >= 0 else NOTHING


def _text(value: bytes | str) -> str:
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return text or NOTHING
