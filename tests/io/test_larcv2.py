"""larcv2: the real clusters against an independent decoder, sparse tensors against written ones."""

import struct
from dataclasses import replace
from pathlib import Path

import awkward as ak
import numpy as np
import pytest
import uproot

from reco.data.products import Header, Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.errors import FormatError
from reco.io.branches import Branches
from reco.io.larcv2_bytes import Meta, Voxels, clusters
from reco.io.larcv2_particles import LarcvParticles, mass_ratios
from reco.io.larcv2_truth import truth_of
from reco.io.recognise import open_input
from tests.io.files import hits, product, same

CLUSTERS = [[8602, 0, 0, 0, 0, 35959, 22953, 0], [73754, 6154, 35983, 0], [33550, 81135, 0]]
ENERGIES = [[223.19, 244.40, 208.47], [471.46, 79.46, 301.53], [256.21, 557.43]]
SHAPE = (4, 5, 6)


def test_pixlar(realdata: Path) -> None:
    with open_input(realdata / "larcv2" / "pixlarevd_multi_particle.root") as reader:
        products = reader.read(0, 3)
        alone = reader.read(1, 2)
    assert same(alone, tuple(p.at(1) for p in products))
    header, read = product(products, Header), hits(products)
    assert (header.run.tolist(), header.event.tolist()) == ([1, 1, 1], [1, 2, 3])
    assert read.value.counts.tolist() == [sum(counts) for counts in CLUSTERS]
    deposits, particles = product(products, TruthDeposits), product(products, TruthParticles)
    assert particles.pdg[0].tolist() == [22, 11, 11]
    assert particles.pdg[1].tolist() == [11, 11, 22]
    assert particles.pdg[2].tolist() == [22, 22]
    for event, energies in enumerate(ENERGIES):
        sums = np.bincount(deposits.particle[event], deposits.energy[event].astype(np.float64))
        assert sums == pytest.approx(energies, abs=0.006)
        counts = np.bincount(deposits.fragment[event], minlength=len(CLUSTERS[event]))
        assert counts.tolist()[: len(CLUSTERS[event])] == CLUSTERS[event]
    # photon: energy is |p|; electron of 537.95 MeV in all
    assert particles.energy[0][:2] == pytest.approx([391.6336, 537.9535 - 0.51099895], abs=1e-3)
    assert product(products, TruthInteractions).topology.values.tolist() == [
        b"2e1g",
        b"2e1g",
        b"2g",
    ]


def test_clusters_lie_where_another_decoder_puts_them(realdata: Path) -> None:
    """Distance from a particle's first step to its cluster (the file's voxels stand off by cm)."""
    expected = [[2.84, 4.28, 2.76], [7.20, 7.20, 3.90], [5.18, 1.99]]
    with open_input(realdata / "larcv2" / "pixlarevd_multi_particle.root") as reader:
        products = reader.read(0, 3)
    deposits, particles = product(products, TruthDeposits), product(products, TruthParticles)
    for event, distances in enumerate(expected):
        for row, start in enumerate(particles.start[event]):
            own = deposits.position[event][deposits.particle[event] == row]
            nearest = np.linalg.norm(own - start, axis=1).min()
            assert nearest == pytest.approx(distances[row], abs=0.006)


def write_larcv(path: Path, *, gev: bool = False) -> Path:
    """Two events on a grid of 4 x 5 x 6, the second one empty."""
    scale = 1e-3 if gev else 1.0
    ids = ak.Array([np.array([0, 1, 2, 119], np.uint64), np.zeros(0, np.uint64)])
    values = ak.Array(
        [np.array([1, 2, 3, 4], np.float32) * np.float32(scale), np.zeros(0, np.float32)]
    )
    meta = {
        f"_meta._p1.{a}": np.full(2, low) for a, low in zip("xyz", (-10.0, 0.0, 5.0), strict=True)
    }
    meta |= {f"_meta._{a}len": np.full(2, 0.3) for a in "xyz"}
    meta |= {f"_meta._{a}num": np.full(2, n, np.uint64) for a, n in zip("xyz", SHAPE, strict=True)}
    event = {"_run": np.full(2, 3), "_subrun": np.zeros(2, int), "_event": np.array([11, 12])}
    voxels = {"_voxel_v._id": ids, "_voxel_v._value": values}
    labels = {"_voxel_v._id": ids, "_voxel_v._value": ak.values_astype(ids * 0 + 1, np.float32)}
    with uproot.recreate(path) as file:
        for name, columns in (("reco", voxels), ("pcluster_semantics", labels)):
            rows = columns | meta | event
            kinds = {
                n: v.type.content if isinstance(v, ak.Array) else v.dtype for n, v in rows.items()
            }
            file.mktree(f"sparse3d_{name}_tree", kinds).extend(rows)
    return path


def test_sparse_tensor_with_classes(tmp_path: Path) -> None:
    with open_input(write_larcv(tmp_path / "a.root")) as reader:
        products = reader.read(0, 2)
        assert reader.describe().truth == ("TruthDeposits",)
    read = hits(products)
    assert read.value.counts.tolist() == [4, 0]
    expected = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 4, 5]])
    assert read.position[0] == pytest.approx([-10, 0, 5] + (expected + 0.5) * 0.3, abs=1e-5)
    assert read.value[0].tolist() == [1, 2, 3, 4]
    deposits = product(products, TruthDeposits)
    assert deposits.semantic[0].tolist() == [1, 1, 1, 1]
    assert deposits.energy[0].tolist() == [1, 2, 3, 4]
    assert product(products, Header).event.tolist() == [11, 12]


def test_units_and_charge_of_a_sparse_tensor(tmp_path: Path) -> None:
    path = write_larcv(tmp_path / "a.root", gev=True)
    with open_input(path, Branches(energy_unit="GeV")) as reader:
        assert hits(reader.read(0, 1)).value[0] == pytest.approx([1, 2, 3, 4])
    with open_input(path, Branches(charge="sparse3d_reco")) as reader:
        assert reader.describe().quantity is Quantity.CHARGE
    with pytest.raises(FormatError, match=r"named 'sparse3d_other'; .*sparse3d_reco"):
        open_input(path, Branches(tree="sparse3d_other"))


def test_images_are_refused_with_the_reason(realdata: Path) -> None:
    with pytest.raises(FormatError, match=r"without voxels in space .*image2d_data"):
        open_input(realdata / "larcv2" / "larcv_tutorial_electron.root")


def packed(*rows: list[tuple[int, float]]) -> np.ndarray:
    """The layout of formats.md, packed with struct."""
    body = b"\x40\x09\x00\x01"
    for voxels in rows:
        body += struct.pack(">i", len(voxels))
        body += b"".join(struct.pack(">Q", i) for i, _ in voxels)
        body += b"".join(struct.pack(">f", v) for _, v in voxels)
    return np.frombuffer(struct.pack(">I", 0x40000000 | len(body)) + body, np.uint8)


def test_clusters_from_packed_bytes() -> None:
    voxels = clusters(packed([(7, 1.5), (7, 0.5)], [], [(2**40, 3.0)]))
    assert voxels.id.tolist() == [7, 7, 2**40]
    assert voxels.value.tolist() == [1.5, 0.5, 3.0]
    assert voxels.offsets.tolist() == [0, 2, 2, 3]
    assert voxels.cluster.tolist() == [0, 0, 2]
    assert len(clusters(packed())) == 0
    data = packed([(7, 1.5), (8, 0.5)])
    for length in range(9, len(data)):
        with pytest.raises(ValueError, match="does not fit"):
            clusters(data[:length])


@pytest.mark.parametrize("number", [[0, 5, 6], [4, 5, -1], [2**40, 5, 6]])
def test_an_impossible_grid(number: list[int]) -> None:
    with pytest.raises(ValueError, match="the grid has"):
        Meta(np.zeros(3), np.ones(3), np.array(number))


def test_a_voxel_beyond_the_grid() -> None:
    meta = Meta(np.zeros(3), np.ones(3), np.array(SHAPE))
    assert meta.positions(np.array([119], np.uint64)).tolist() == [[3.5, 4.5, 5.5]]
    for bad in (120, 2**64 - 1):
        with pytest.raises(ValueError, match="not on the grid"):
            meta.positions(np.array([bad], np.uint64))


def test_groups_and_interactions_by_number() -> None:
    """A muon, a photon with an electron in its group, and a particle that left nothing."""
    zero = np.zeros((4, 3))
    particles = LarcvParticles(
        id=np.arange(4),
        group=np.array([0, 1, 1, 3]),
        interaction=np.array([7, 7, 7, -1]),
        parent=np.array([-1, -1, 1, -1]),
        shape=np.array([1, 0, 0, 4]),
        pdg=np.array([13, 22, 11, 22]),
        primary=np.array([True, True, False, False]),
        momentum=np.array([[100.0, 0, 0], [0, 200, 0], [0, 100, 0], [1, 0, 0]]),
        vertex=zero,
        first_step=zero + 1,
        last_step=zero,
        energy_deposit=np.array([10.0, 20, 5, 0.1]),
        length=np.array([4.0, -1, -1, -1]),
        time=np.zeros(4),
    )
    ids = np.array([0, 1, 5, 6, 7, 8], np.uint64)
    voxels = Voxels(ids, np.ones(6, np.float32), np.array([0, 2, 3, 4, 4, 6]))
    meta = Meta(np.zeros(3), np.ones(3), np.array(SHAPE))
    rest = np.full(6, 4, np.int8)
    deposits, table, interactions = truth_of(voxels, meta.positions(ids), rest, particles, meta)
    assert deposits.particle[0].tolist() == [0, 0, 1, 1, -1, -1]
    assert deposits.fragment[0].tolist() == [0, 0, 1, 2, 4, 4]
    assert deposits.semantic[0].tolist() == [1, 1, 0, 0, 4, 4]
    assert table.pdg[0].tolist() == [13, 22]
    assert table.energy_deposit[0].tolist() == [10.0, 25.0]
    assert table.interaction[0].tolist() == [0, 0]
    assert interactions.topology[0].tolist() == [b"1mu1g"]
    total = np.array([np.hypot(100, 105.6583755), 200, 100, 1])
    assert mass_ratios(particles, total) == pytest.approx([1.0])
    in_gev = replace(particles, momentum=particles.momentum / 1000)
    assert mass_ratios(in_gev, total / 1000) == pytest.approx([1e-3])


def test_a_misspelt_product_is_told_the_right_one(realdata: Path) -> None:
    path = realdata / "larcv2" / "pixlarevd_multi_particle.root"
    with pytest.raises(FormatError, match=r"'cluster3d_mst'; did you mean 'cluster3d_mcst'\?"):
        open_input(path, Branches(tree="cluster3d_mst"))
