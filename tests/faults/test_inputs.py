"""Some hundred broken files of all formats; `make faults` tries thousands."""

import pytest

from tests.faults.campaign import mutations
from tests.faults.judge import GOOD


@pytest.mark.slow
def test_broken_files_are_told_or_read() -> None:
    verdicts = mutations(156, seed=11)
    assert len(verdicts) == 156
    # libhdf5 itself can die of a broken file, or run in a circle: docs/reliability.md
    bad = [v for v in verdicts if v.outcome not in (*GOOD, "crash", "hang")]
    assert bad == []
