"""Fixtures of all tests."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def seeds():
    """Every test starts from the same random state."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002  (third-party code may use it)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """Folder with files of real experiments; tests that need it are skipped without."""
    folder = ROOT.parent / "shared" / "realdata"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return folder
