"""Sparse convolutions on voxels: containers, kernel maps, functions and layers."""

from reco.sparse.backends import BACKENDS
from reco.sparse.functional import conv
from reco.sparse.maps import KernelMap, Pyramid, build_pyramid, strided_map, submanifold_map
from reco.sparse.modules import (
    SparseConv3d,
    SparseInverseConv3d,
    SubmanifoldConv3d,
    set_backend,
)
from reco.sparse.norm import BatchNormLeakyReLU
from reco.sparse.pool import SparsePool3d, pool, pool_events
from reco.sparse.tensor import Keys, SparseTensor, pack

__all__ = [
    "BACKENDS",
    "BatchNormLeakyReLU",
    "KernelMap",
    "Keys",
    "Pyramid",
    "SparseConv3d",
    "SparseInverseConv3d",
    "SparsePool3d",
    "SparseTensor",
    "SubmanifoldConv3d",
    "build_pyramid",
    "conv",
    "pack",
    "pool",
    "pool_events",
    "set_backend",
    "strided_map",
    "submanifold_map",
]
