"""Tracks of a known course, as voxels."""

from itertools import pairwise

import numpy as np

SIZE = 0.3


def voxels_along(nodes, spacing=0.02):
    """(K, 3) corners of a course -> (N, 3) centres of the voxels it crosses, in no order of it."""
    pieces = [
        a + (b - a) * np.linspace(0, 1, max(int(np.linalg.norm(b - a) / spacing), 2))[:, None]
        for a, b in pairwise(nodes)
    ]
    cells = np.unique(np.floor(np.concatenate(pieces) / SIZE).astype(int), axis=0)
    return (cells + 0.5) * SIZE


def scattered(rng, steps, step, width):
    """Course of steps that turn by Gaussian angles; width: (steps,) rad in each plane.

    The offset within a step is correlated with the angle as in the closed form of PDG eq. 34.20.
    """
    nodes, u = [np.zeros(3)], np.array([0.3, 0.5, 0.81]) / np.linalg.norm([0.3, 0.5, 0.81])
    for k in range(steps):
        v = np.cross(u, [1.0, 0, 0])
        v /= np.linalg.norm(v)
        w = np.cross(u, v)
        z1, z2 = rng.normal(size=(2, 2)) * width[k]
        offset = step * (z1 / np.sqrt(12) + z2 / 2)
        nodes.append(nodes[-1] + step * u + offset[0] * v + offset[1] * w)
        u = u + z2[0] * v + z2[1] * w
        u /= np.linalg.norm(u)
    return np.array(nodes)
