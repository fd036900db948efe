"""An evaluation as a page of figures."""

from reco.report.page import write_report

__all__ = ["write_report"]
