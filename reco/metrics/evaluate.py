"""Evaluate a stream of events: all sections at once, one event in memory at a time."""

from collections.abc import Iterable
from typing import Any

from reco.metrics.bootstrap import with_errors
from reco.metrics.event import Event
from reco.metrics.report import Report
from reco.metrics.sections.base import Section
from reco.metrics.sections.energy import Energy
from reco.metrics.sections.events import Events
from reco.metrics.sections.identity import Identity, ShowerPrimary
from reco.metrics.sections.points import PointSection
from reco.metrics.sections.reliability import Reliability
from reco.metrics.sections.vertex import Vertex
from reco.metrics.sections.voxels import (
    INTERACTION_BINS,
    Clustering,
    Panoptic,
    Segmentation,
    fragment_labellings,
    interaction_labellings,
    particle_labellings,
    shower_labellings,
)
from reco.metrics.tables import Settings, Tables

SECTIONS: tuple[Section[Any], ...] = (
    Segmentation(),
    PointSection(),
    Clustering("Fragments", fragment_labellings),
    Clustering("Particles", particle_labellings),
    Panoptic(),
    Clustering("Showers", shower_labellings),
    ShowerPrimary(),
    Clustering("Interactions", interaction_labellings, INTERACTION_BINS),
    Identity(),
    Vertex(),
    Energy(),
    Reliability(),
    Events(),
)


class Evaluation:
    """Collects what each event tells, in any number of updates."""

    def __init__(self, settings: Settings, sections: tuple[Section[Any], ...] = SECTIONS) -> None:
        self.settings = settings
        self.events = 0
        self._records: list[tuple[Section[Any], list[Any]]] = [(s, []) for s in sections]

    def update(self, tables: Tables) -> None:
        """Add the events of these tables."""
        for one in tables:
            event = Event.under(self.settings, one)
            self.events += 1
            for section, records in self._records:
                record = section.observe(event)
                if record is not None:
                    records.append(record)

    def report(self) -> Report:
        """The figures so far; a section without any record is left out."""
        records = [(s, seen) for s, seen in self._records if seen]
        findings = [s.summarise(seen) for s, seen in records]
        findings = with_errors(findings, records, self.settings.resamples)
        return Report.of(self.events, self.settings, findings)


def evaluate(chunks: Iterable[Tables], settings: Settings) -> Report:
    """Evaluate events that come in chunks.

    Sections whose products are missing are left out of the report. Raises InputError where the
    products of a chunk hold different numbers of events.
    """
    evaluation = Evaluation(settings)
    for chunk in chunks:
        evaluation.update(chunk)
    return evaluation.report()
