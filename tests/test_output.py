import os
from pathlib import Path

import awkward as ak
import h5py
import numpy as np
import pytest

import reco
from reco.data.product import EVENTS, Product
from reco.data.products import (
    Estimates,
    Header,
    Kinematics,
    Outcome,
    Physics,
    Points,
    Semantics,
    Voxels,
)
from reco.data.ragged import Ragged, offsets_of
from reco.errors import FormatError, InputError
from reco.io.store import PRODUCTS, Writer

COUNTS = {"voxels": [3, 0, 2, 1], "particles": [2, 0, 0, 1], "interactions": [1, 0, 0, 1]}


def example(kind: type[Product]) -> Product:
    """Four events of numbers that tell where they come from."""
    rng = np.random.default_rng(len(kind.__name__))
    data: dict[str, object] = {}
    for name, spec in kind.columns().items():
        counts = [1] * 4 if spec.table == EVENTS else COUNTS.get(spec.table, [1, 0, 2, 0])
        shape = (sum(counts), *(max(n, 4) if n < 0 else n for n in spec.shape))
        values = rng.integers(0, 2, shape).astype(spec.dtype)
        data[name] = values if spec.table == EVENTS else Ragged(values, offsets_of(counts))
    return kind(**data)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("output") / "out.h5"
    with Writer(path, {"made": "here"}) as out:
        out.write([example(kind) for kind in PRODUCTS])
    with reco.open(path) as opened:
        yield opened


def test_tables_and_fields_are_those_of_the_documentation(file):
    assert len(file) == 4
    assert {"run", "subrun", "event", "entry", "status", "message"} <= set(file.events.fields)
    voxels = {"x", "y", "z", "energy", "semantic", "semantic_scores", "fragment", "particle"}
    assert voxels | {"interaction"} <= set(file.voxels.fields)
    assert {"x", "y", "z", "type", "score"} == set(file.points.fields)
    particles = (
        "id semantic pid pid_scores is_primary primary_score interaction n_voxels start end "
        "direction length energy energy_sigma energy_tail energy_calo energy_range energy_mcs "
        "start_dedx contained match match_iou"
    )
    assert set(particles.split()) == set(file.particles.fields)
    interactions = (
        "id vertex vertex_cov vertex_tail energy energy_sigma energy_tail n_particles topology "
        "contained match match_iou"
    )
    assert set(interactions.split()) == set(file.interactions.fields)
    for name in ("truth_voxels", "truth_particles", "truth_interactions", "fragments"):
        assert len(getattr(file, name)) == 4


def test_values_are_those_written(file):
    kinematics, voxels = example(Kinematics), example(Voxels)
    assert ak.num(file.particles.length).tolist() == COUNTS["particles"]
    for i, axis in enumerate("xyz"):
        flat = ak.to_numpy(ak.flatten(file.particles.start[axis]))
        np.testing.assert_array_equal(flat, kinematics.start.values[:, i])
        np.testing.assert_array_equal(
            ak.to_numpy(ak.flatten(file.voxels[axis])), voxels.position.values[:, i]
        )
    covariance = ak.to_numpy(ak.flatten(file.interactions.vertex_cov))
    np.testing.assert_array_equal(covariance, example(Estimates).vertex_cov.values)
    scores = ak.to_numpy(ak.flatten(file.voxels.semantic_scores))
    np.testing.assert_array_equal(scores, example(Semantics).scores.values)
    assert file.particles.contained.type.content.content.primitive == "bool"
    assert file.points["type"].tolist() == [p.tolist() for p in example(Points).type]


def test_text_is_text(tmp_path):
    topology = Ragged(np.array([b"1mu1p", b"1e"], "S32"), [0, 1, 2])
    contained = Ragged(np.ones(2, bool), [0, 1, 2])
    energy = Ragged(np.ones(0), [0, 0, 0])
    with Writer(tmp_path / "a.h5", {}) as out:
        out.write(
            [
                Physics(energy_range=energy, topology=topology, contained=contained),
                Outcome(status=np.array([0, 2]), message=np.array([b"", "ÿ μ".encode()])),
            ]
        )
    with reco.open(tmp_path / "a.h5") as f:
        assert f.interactions.topology.tolist() == [["1mu1p"], ["1e"]]
        assert f.events.message.tolist() == ["", "ÿ μ"]


@pytest.mark.parametrize("events", [slice(1, 3), slice(0, 0), slice(-1, None), slice(None)])
def test_slices_hold_what_the_whole_holds(file, events):
    part = file[events]
    for name in ("events", "voxels", "particles", "interactions"):
        whole = getattr(file, name)[events]
        assert getattr(part, name).tolist() == whole.tolist()
    assert len(part) == len(whole)
    assert part[0:1].voxels.tolist() == file.voxels[events][0:1].tolist()


def test_an_event_holds_what_the_file_holds(file):
    events = list(file)
    assert len(events) == 4
    for i, event in enumerate(events):
        assert event.entry == file.events.entry[i]
        for name in event.tables:
            whole = getattr(file, name)[i]
            for field in getattr(event, name).fields:
                assert getattr(event, name)[field].tolist() == whole[field].tolist()
        assert repr(file[i]) == repr(event)
    assert repr(file[-1]) == repr(file[2:][1]) == repr(events[3])


def test_a_column_that_an_older_file_lacks_is_nan(tmp_path):
    with Writer(tmp_path / "a.h5", {}) as out:
        out.write([example(kind) for kind in PRODUCTS])
    with h5py.File(tmp_path / "a.h5", "r+") as f:
        del f["particles/energy_sigma"]
    with reco.open(tmp_path / "a.h5") as f:
        assert f[0].particles.energy.tolist() == f.particles.energy[0].tolist()
        assert all(np.isnan(f[0].particles.energy_sigma))
        assert "energy_sigma" not in f.particles.fields


def test_units_documentation_and_provenance(file):
    assert file.units["particles"]["start_x"] == "cm"
    assert file.units["voxels"]["energy"] == "MeV"
    assert "ok" in file.docs["events"]["status"]
    assert file.provenance == {"made": "here"}


def test_what_is_not_there(file, tmp_path):
    with pytest.raises(AttributeError, match=r"'particle'; did you mean 'particles'.*it has"):
        _ = file.particle
    with pytest.raises(AttributeError, match=r"its tables have: such as \.\w+\.to_pandas\(\)"):
        file.to_pandas()
    with pytest.raises(AttributeError, match=r"its events have: f\[0\]\.show"):
        file.show()
    with pytest.raises(InputError, match=r"f\[100:200\]; a table is .*f\.particles"):
        _ = file["particles"]
    for number in (4, -5):
        with pytest.raises(InputError, match=rf"no event {number}; the file has 4 \(0 to 3\)"):
            _ = file[number]
    (tmp_path / "empty.h5").touch()
    with pytest.raises(FormatError, match=r"empty\.h5: is empty \(0 bytes\)"):
        reco.open(tmp_path / "empty.h5")
    with pytest.raises(FormatError, match=r"no such file; did you mean 'empty\.h5'"):
        reco.open(tmp_path / "emty.h5")
    with pytest.raises(FormatError, match="no such file"):
        reco.open(tmp_path / "none.h5")
    with Writer(tmp_path / "a.h5", {}) as out:
        out.write([Header.empty(2)])
    os.truncate(tmp_path / "a.h5", 500)
    with pytest.raises(FormatError, match="HDF5 file: cannot be read"):
        reco.open(tmp_path / "a.h5")


@pytest.mark.parametrize("n", [1, 2])
def test_smallest_files(tmp_path, n):
    with Writer(tmp_path / "a.h5", {}) as out:
        out.write([Header.empty(n), Voxels.empty(n)])
    with reco.open(tmp_path / "a.h5") as f:
        assert len(f) == len(f.events) == len(f.voxels) == n
        assert ak.count(f.voxels.energy) == 0


def test_every_public_column_is_documented():
    text = (Path(__file__).parents[1] / "docs" / "output.md").read_text()
    for kind in PRODUCTS:
        for spec in kind.columns().values():
            if spec.internal or spec.table in ("hits", "truth_deposits") or len(spec.parts) > 1:
                continue
            if spec.name != "hit_quantity":
                assert f"`{spec.name}`" in text, f"{spec.table}.{spec.name}"
