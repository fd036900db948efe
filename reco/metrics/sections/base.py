"""What a section of the evaluation is."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from reco.metrics.report import Findings
from reco.metrics.tables import Settings, Tables

R = TypeVar("R")


class Section(Protocol, Generic[R]):
    """Two pure functions: what one event tells, and what all events together say."""

    def observe(self, event: Tables, settings: Settings) -> R | None:
        """Facts of one event (Tables of length 1); None where its products are missing."""

    def summarise(self, records: Sequence[R]) -> Findings:
        """Figures over all events that told something; at least one."""
