import pytest

from reco.io.store import Writer
from tests.display import events

DETECTOR = {
    "detector": {
        "volumes": [{"lower": lower, "upper": upper} for lower, upper in events.BOXES.tolist()]
    }
}


@pytest.fixture(scope="session")
def output(tmp_path_factory):
    """An output of three events: complete, without voxels, failed."""
    path = tmp_path_factory.mktemp("display") / "out.h5"
    whole = [*events.data(), *events.truth(), *events.matches()]
    failed = [*events.header(2, b"segment: no memory"), *events.emptied(whole)[2:]]
    with Writer(path, DETECTOR) as out:
        for products in (whole, events.emptied(whole), failed):
            out.write(products)
    return path


@pytest.fixture(scope="session")
def data_output(tmp_path_factory):
    """An output of one event of data that stopped at the fragments."""
    path = tmp_path_factory.mktemp("display") / "data.h5"
    with Writer(path, DETECTOR) as out:
        out.write(events.data(4))
    return path
