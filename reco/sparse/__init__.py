"""Sparse convolutions on voxels: containers, kernel maps, functions and layers."""

from reco.sparse.backends import BACKENDS
from reco.sparse.functional import conv
from reco.sparse.maps import KernelMap, Pyramid, build_pyramid, strided_map, submanifold_map
from reco.sparse.modules import SparseConv3d, SparseInverseConv3d, SubmanifoldConv3d
from reco.sparse.norm import BatchNormLeakyReLU
from reco.sparse.tensor import Keys, SparseTensor, pack

__all__ = [
    "BACKENDS",
    "BatchNormLeakyReLU",
    "KernelMap",
    "Keys",
    "Pyramid",
    "SparseConv3d",
    "SparseInverseConv3d",
    "SparseTensor",
    "SubmanifoldConv3d",
    "build_pyramid",
    "conv",
    "pack",
    "strided_map",
    "submanifold_map",
]
