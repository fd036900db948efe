"""The planner and the executor: from a configuration to reconstructed events."""

from reco.pipeline.pipeline import Pipeline, Summary, load

__all__ = ["Pipeline", "Summary", "load"]
