from importlib.util import find_spec

import pytest

from reco.simulate.geant4 import Geant4, Options


@pytest.fixture(scope="session")
def geant4() -> Geant4:
    """Geant4 allows one set-up per process: all tests share it."""
    if find_spec("geant4_pybind") is None:
        pytest.skip("geant4-pybind is not installed")
    return Geant4.shared(Options())
