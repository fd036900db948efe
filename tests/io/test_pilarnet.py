"""PILArNet-M of versions 1 to 3, from events written here by hand."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from reco.data.products import TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array
from reco.errors import FormatError
from reco.io.recognise import open_input
from tests.io.files import hits, product

POINTS = np.zeros((7, 8), np.float32)
POINTS[:, :3] = [
    [0, 5, 5],
    [10, 5, 5],
    [11, 5, 5],
    [12, 5, 5],
    [400, 9, 9],
    [401, 9, 9],
    [420, 9, 9],
]
POINTS[:, 3] = [0.1, 1, 2, 3, 4, 5, 6]
CLUSTERS = np.array(
    [
        # points, fragment, group, interaction, semantic, pid
        [1, 0, -1, -1, 4, -1],
        [3, 1, 1, 7, 1, 2],
        [2, 2, 2, 7, 0, 0],
        [1, 3, 2, 7, 0, 0],
    ]
)
EXTRA = np.array(
    [
        # mass MeV, |p| GeV, vertex, primary
        [0, 0, 0, 0, 0, 0],
        [105.6583755, 0.3, 10, 5, 5, 1],
        [0, 0.2, 10, 5, 5, 1],
        [0, 0.05, 10, 5, 5, 0],
    ],
    np.float32,
)


def write(path: Path, *events: dict[str, Array]) -> Path:
    with h5py.File(path, "w") as file:
        for name, first in events[0].items():
            kind = h5py.vlen_dtype(first.dtype)
            data = file.create_dataset(name, (len(events),), kind)
            for i, event in enumerate(events):
                data[i] = event[name].reshape(-1)
    return path


def event(version: int, rows: slice = slice(None)) -> dict[str, Array]:
    clusters = CLUSTERS[rows]
    points = POINTS[np.repeat(np.arange(4), CLUSTERS[:, 0]) < len(clusters)]
    if version == 1:
        return {"point": points, "cluster": clusters[:, :5]}
    return {
        "point": points,
        "cluster": clusters,
        "cluster_extra": EXTRA[rows, : 5 if version == 2 else 6],
    }


@pytest.mark.parametrize("version", [1, 2, 3])
def test_voxels_and_labels(tmp_path: Path, version: int) -> None:
    path = write(tmp_path / "a.h5", event(version, slice(0)), event(version))
    with open_input(path) as reader:
        assert reader.describe().format == f"PILArNet-M HDF5, version {version}"
        products = reader.read(0, 2)
    found = hits(products)
    np.testing.assert_array_equal(found.value.counts, [0, 7])
    np.testing.assert_allclose(
        found.position[1][1], [10.5 * 0.3 - 115.2, 5.5 * 0.3 - 115.2, 5.5 * 0.3 - 115.2], rtol=1e-6
    )
    np.testing.assert_allclose(found.value[1], POINTS[:, 3])
    deposits = product(products, TruthDeposits)
    assert deposits.semantic[1].tolist() == [4, 1, 1, 1, 0, 0, 0]
    assert deposits.fragment[1].tolist() == [0, 1, 1, 1, 2, 2, 3]
    assert deposits.particle[1].tolist() == [-1, 0, 0, 0, 1, 1, 1]
    particles = product(products, TruthParticles)
    assert particles.semantic[1].tolist() == [1, 0]
    assert particles.interaction[1].tolist() == [0, 0]
    assert particles.contained[1].tolist() == [True, True]
    interactions = product(products, TruthInteractions)
    assert interactions.n_particles[1].tolist() == [2]


def test_version_1_invents_nothing(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5", event(1))) as reader:
        products = reader.read(0, 1)
    particles, interactions = (product(products, k) for k in (TruthParticles, TruthInteractions))
    assert particles.pid.values.tolist() == [-1, -1]
    for column in (particles.energy, particles.start, particles.end, particles.direction):
        assert np.isnan(column.values).all()
    assert not particles.is_primary.values.any()
    assert np.isnan(interactions.vertex.values).all()
    assert np.isnan(interactions.energy.values).all()
    assert interactions.topology.values.tolist() == [b""]


def test_version_2_has_particles_and_no_primaries(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5", event(2))) as reader:
        products = reader.read(0, 1)
    particles, interactions = (product(products, k) for k in (TruthParticles, TruthInteractions))
    assert particles.pid.values.tolist() == [2, 0]
    muon = np.hypot(300, 105.6583755) - 105.6583755
    np.testing.assert_allclose(particles.energy.values, [muon, 200], rtol=1e-5)
    np.testing.assert_allclose(particles.start.values[0], [-112.2, -113.7, -113.7], rtol=1e-5)
    assert np.isnan(particles.start.values[1]).all(), "a photon is seen where it converts"
    assert not particles.is_primary.values.any()
    assert np.isnan(interactions.vertex.values).all()


def test_version_3_is_complete(tmp_path: Path) -> None:
    with open_input(write(tmp_path / "a.h5", event(3))) as reader:
        products = reader.read(0, 1)
    particles, interactions = (product(products, k) for k in (TruthParticles, TruthInteractions))
    assert particles.is_primary.values.tolist() == [True, True]
    np.testing.assert_allclose(interactions.vertex.values, [[-112.2, -113.7, -113.7]], rtol=1e-5)
    assert interactions.topology.values.tolist() == [b"1mu1g"]
    np.testing.assert_allclose(interactions.energy.values, particles.energy.values.sum())


def test_version_3_with_momenta(tmp_path: Path) -> None:
    whole = event(3)
    momenta = np.array([[0, 0, 0], [0, 0, 0.3], [0.2, 0, 0], [0, 0.05, 0]], np.float32)
    whole["cluster_extra"] = np.concatenate([whole["cluster_extra"], momenta], axis=1)
    with open_input(write(tmp_path / "a.h5", whole)) as reader:
        particles = product(reader.read(0, 1), TruthParticles)
    np.testing.assert_allclose(particles.direction.values, [[0, 0, 1], [1, 0, 0]])


def test_a_voxel_on_the_face_is_not_contained(tmp_path: Path) -> None:
    odd = event(1) | {"point": POINTS.copy()}
    odd["point"][1, 0] = 0
    with open_input(write(tmp_path / "a.h5", odd)) as reader:
        particles = product(reader.read(0, 1), TruthParticles)
    assert particles.contained.values.tolist() == [False, True]


def test_sizes_that_do_not_add_up(tmp_path: Path) -> None:
    odd = event(3) | {"point": POINTS[:6]}
    with pytest.raises(FormatError, match=r"entry 0: .*do not add up"):
        open_input(write(tmp_path / "a.h5", odd))
    path = write(tmp_path / "b.h5", event(3), odd)
    with open_input(path) as reader:
        assert len(hits(reader.read(0, 1)).value) == 1
        with pytest.raises(FormatError, match="entry 1: branch 'cluster' counts 7 points"):
            reader.read(1, 2)


def test_other_widths(tmp_path: Path) -> None:
    odd = event(3)
    odd["cluster_extra"] = odd["cluster_extra"][:, :4]
    with pytest.raises(FormatError, match="not those of PILArNet-M"):
        open_input(write(tmp_path / "a.h5", odd))


def test_lengths_differ(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", event(1), event(1))
    with h5py.File(path, "a") as file:
        rest = file["cluster"][:1]
        del file["cluster"]
        data = file.create_dataset("cluster", (1,), h5py.vlen_dtype(np.int64))
        data[0] = rest[0]
    with pytest.raises(FormatError, match="'cluster' has 1 events"):
        open_input(path)


def test_no_events(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name in ("point", "cluster"):
            file.create_dataset(name, (0,), h5py.vlen_dtype(np.float32))
    with open_input(tmp_path / "a.h5") as reader:
        assert len(reader) == 0
        assert reader.describe().n_events == 0
