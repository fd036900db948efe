"""Sparse convolution by MinkowskiEngine 0.5 on the CPU, as a second opinion on the same models.

It finds the pairs itself, from the places of the rows; its weights count offsets x fastest, and
its rows come in an order of its own.
"""

import collections
import collections.abc
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from reco.errors import InputError
from reco.sparse.layouts import x_fastest
from reco.sparse.maps import Int32, KernelMap
from reco.sparse.tensor import lexicographic_order

if not hasattr(collections, "Sequence"):  # it still imports what Python 3.10 moved
    collections.Sequence = collections.abc.Sequence  # type: ignore[attr-defined]

import MinkowskiEngine as ME
from MinkowskiEngineBackend._C import ConvolutionMode


@dataclass(frozen=True)
class Plan:
    """How the engine goes about one map: its function and arguments, and the order of its rows.

    sources: the row of ours that each of its inputs is. targets: its row for each output of ours.
    """

    function: Any
    arguments: tuple[Any, ...]
    sources: torch.Tensor
    targets: torch.Tensor


def conv(features: torch.Tensor, weight: torch.Tensor, kernel_map: KernelMap) -> torch.Tensor:
    """As `reco.sparse.functional.conv`, unchecked; the engine differentiates it.

    Raises InputError for a map that was not built from voxels.
    """
    if kernel_map.offsets == 1:
        return features[torch.from_numpy(kernel_map.table[0]).long()] @ weight[0]
    if kernel_map.outputs == 0 or kernel_map.inputs == 0:
        return features.sum() * 0 + weight.sum() * 0 + features.new_zeros(0, weight.shape[2])
    plan = kernel_map.derived(_plan, None)
    kernel = weight[x_fastest(kernel_map.offsets)].contiguous()
    return plan.function(features[plan.sources], kernel, *plan.arguments)[plan.targets]


def _plan(kernel_map: KernelMap, _: None) -> Plan:
    if kernel_map.places is None:
        raise InputError(
            "kernel_map: has no places of its rows, which backend 'minkowski' needs; build it with "
            "build_pyramid, submanifold_map or strided_map"
        )
    inputs, outputs = kernel_map.places
    fine = outputs if kernel_map.widens else inputs
    stride = 1 if kernel_map.symmetric else 2
    manager = ME.CoordinateManager(D=3, coordinate_map_type=ME.CoordinateMapType.CPU)
    key, _map = manager.insert_and_map(torch.from_numpy(fine), 1)
    coarse = manager.stride(key, stride)
    generator = ME.KernelGenerator(round(kernel_map.offsets ** (1 / 3)), stride=stride, dimension=3)
    sides = [(key, 1), (coarse, stride)]
    function = ME.MinkowskiConvolutionFunction
    if kernel_map.widens:
        sides.reverse()
        function = ME.MinkowskiConvolutionTransposeFunction
    its_inputs, its_outputs = (_its_order(manager.get_coordinates(k), step) for k, step in sides)
    arguments = (generator, ConvolutionMode.DEFAULT, sides[0][0], sides[1][0], manager)
    return Plan(function.apply, arguments, torch.argsort(its_inputs), its_outputs)


def _its_order(coordinates: torch.Tensor, step: int) -> torch.Tensor:
    """Its row for each of ours, which are sorted."""
    voxels: Int32 = coordinates.numpy().copy()
    voxels[:, 1:] //= step
    return torch.from_numpy(lexicographic_order(np.ascontiguousarray(voxels)))
