"""Rows that say whether uncertainties are honest."""

from reco.metrics.energy import PullSummary
from reco.metrics.report import Row

TITLE = "Uncertainties"


def pull_rows(name: str, found: PullSummary, of: str) -> list[Row]:
    """Median and width of the pulls (0 and 1 if honest), coverage of two intervals."""
    return [
        Row(TITLE, f"{name}, pull median", found.median, "", found.count, of),
        Row(TITLE, f"{name}, pull width", found.width, "", found.count, of),
        Row(TITLE, f"{name}, 68 % coverage", found.coverage_68, "%", found.count, of),
        Row(TITLE, f"{name}, 95 % coverage", found.coverage_95, "%", found.count, of),
    ]
