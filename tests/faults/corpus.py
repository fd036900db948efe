"""A small file of every format, to be broken."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from reco.data.product import EVENTS, Product
from reco.data.products import Header, Hits, Outcome, Points, Semantics, Voxels
from reco.data.ragged import Array, Ragged, offsets_of
from reco.io.branches import Branches
from reco.io.root_writer import RootWriter
from reco.io.store import Writer
from tests.io import (
    test_flat_hdf5,
    test_jaxtpc,
    test_larcv2,
    test_larcv3,
    test_larndsim,
    test_ndlar_flow,
    test_numl,
    test_pilarnet,
    test_spine,
)
from tests.io.files import COUNTS, jagged, write_groups, write_ntuple, write_tree
from tests.io.test_flat_root import MAKIU

REALDATA = Path(__file__).parents[2].parent / "shared" / "realdata"
STORED = "output"
"""Name of the sample that is an output of reco and not an input."""


@dataclass(frozen=True)
class Sample:
    """A whole file, and how it is read."""

    name: str
    path: Path
    branches: Branches


def flat_hdf5(path: Path) -> Path:
    return write_groups(path, test_flat_hdf5.columns_of(200) | {"event": np.arange(200) // 9})


def compressed_hdf5(path: Path) -> Path:
    """Chunked, shuffled and deflated, as large files are."""
    columns = test_flat_hdf5.columns_of(3000) | {"event": np.arange(3000) // 900}
    with h5py.File(path, "w") as file:
        for name, rows in columns.items():
            file.create_dataset(
                f"hits/{name}", data=rows, chunks=(500,), compression="gzip", shuffle=True
            )
    return path


def larndsim(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["segments"] = test_larndsim.segment_rows(test_larndsim.NEW)
        file["trajectories"] = test_larndsim.trajectory_rows()
    return path


def _filled(kind: type[Product], counts: tuple[int, ...]) -> Product:
    rng = np.random.default_rng(len(kind.__name__))
    columns: dict[str, Array | Ragged] = {}
    for name, spec in kind.columns().items():
        rows = len(counts) if spec.table == EVENTS else sum(counts)
        shape = (rows, *(4 if n < 0 else n for n in spec.shape))
        high = 1 if name == "quantity" else 2  # a file holds charges or energies, not both
        values = rng.integers(0, high, shape).astype(spec.dtype)
        columns[name] = values if spec.table == EVENTS else Ragged(values, offsets_of(counts))
    return kind(**columns)


def native(path: Path) -> Path:
    with Writer(path, {"seed": 1}) as out:
        out.write([_filled(kind, COUNTS) for kind in (Header, Hits)])
    return path


def output(path: Path) -> Path:
    with Writer(path, {"made": "here"}) as out:
        out.write([_filled(kind, COUNTS) for kind in (Header, Voxels, Semantics, Points, Outcome)])
    return path


def simulated_root(path: Path) -> Path:
    with RootWriter(path, {}) as out:
        out.write([_filled(kind, COUNTS) for kind in (Header, Hits)])
    return path


MADE: dict[str, Callable[[Path], Path]] = {
    "flat ROOT": lambda path: write_tree(path, jagged(COUNTS)),
    "RNTuple": lambda path: write_ntuple(path, jagged(COUNTS)),
    "reco ROOT": simulated_root,
    "larcv2": test_larcv2.write_larcv,
    "flat HDF5": flat_hdf5,
    "deflated HDF5": compressed_hdf5,
    "PILArNet-M": lambda path: test_pilarnet.write(path, *(test_pilarnet.event(3),) * 2),
    "numl": test_numl.write,
    "larcv3": test_larcv3.write_sparse,
    "larnd-sim": larndsim,
    "SPINE": test_spine.write,
    "ndlar_flow": test_ndlar_flow.write,
    "JAXTPC": test_jaxtpc.write,
    "reco HDF5": native,
    STORED: output,
}

REAL = {
    "edepsim/samfogarty_test.root": Branches(),
    "edepsim/samfogarty_ten-Mu-plus.root": Branches(),
    "larcv2/pixlarevd_multi_particle.root": Branches(),
    "larsoft_flat/Makiu_analyzeItOutput_R2-2_SR1-1.root": MAKIU,
    "larcv3/larcv3_3d_derived.h5": Branches(),
    "larndsim/jax_input_0.h5": Branches(),
    "larndsim/ynashed_module0_corsika.h5": Branches(),
    "misc/jaxtpc_muon.h5": Branches(),
    "ndlar_flow/h5flow_layout.h5": Branches(),
    "spine/spine_v1.h5": Branches(),
    "spine/spine_v2.h5": Branches(),
}


def samples(folder: Path) -> list[Sample]:
    """Every made file, written to folder, and the real ones where they are."""
    made = [
        Sample(name, make(folder / name.replace(" ", "_")), Branches())
        for name, make in MADE.items()
    ]
    real = [Sample(name, REALDATA / name, branches) for name, branches in REAL.items()]
    return made + [sample for sample in real if sample.path.is_file()]
