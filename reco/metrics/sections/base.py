"""What a section of the evaluation is."""

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from reco.metrics.event import Event
from reco.metrics.report import Findings

R = TypeVar("R")


class Section(Protocol, Generic[R]):
    """Two pure functions: what one event tells, and what all events together say."""

    def observe(self, event: Event) -> R | None:
        """Facts of one event; None where its products are missing."""

    def summarise(self, records: Sequence[R]) -> Findings:
        """Figures over all events that told something; at least one."""
