"""The figures of merit that the papers define."""

from reco.metrics.evaluate import Evaluation, evaluate
from reco.metrics.report import Report
from reco.metrics.tables import Settings, Tables

__all__ = ["Evaluation", "Report", "Settings", "Tables", "evaluate"]
