"""The planner and the executor: from a configuration to reconstructed events."""

from reco.pipeline.event import Event
from reco.pipeline.pipeline import Pipeline, Summary, load

__all__ = ["Event", "Pipeline", "Summary", "load"]
