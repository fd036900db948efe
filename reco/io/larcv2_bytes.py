"""larcv2's voxels: the clusters uproot cannot interpret, and where a voxel's number is in space."""

from dataclasses import dataclass

import numpy as np

from reco.data.ragged import Array, offsets_of

_MEMBER_WISE = 0x4000
_VOXEL = 12
"""Bytes of one voxel: id u8, value f4."""
MAX_SIDE = 1 << 20
"""Voxels along one side of an image beyond which its numbers cannot be true."""


@dataclass(frozen=True)
class Voxels:
    """Voxels of one event. id: (N,) uint64. value: (N,) float32. offsets: (C + 1,) of clusters."""

    id: Array
    value: Array
    offsets: Array

    def __len__(self) -> int:
        return len(self.id)

    @property
    def cluster(self) -> Array:
        """(N,) int64, cluster of each voxel."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def clusters(data: Array) -> Voxels:
    """One entry of _voxel_vv._voxel_v, a member-wise vector<larcv::Voxel>[]. data: (B,) uint8.

    Bytes, big-endian: u4 byte count, u2 version, u2 class version (if 0 a 4-byte checksum
    follows), and per cluster i4 n, n u8 ids, n f4 values. Raises ValueError when they do not add
    up.
    """
    raw = data.tobytes()
    ids, values = [np.zeros(0, np.uint64)], [np.zeros(0, np.float32)]
    p = _start(raw)
    while p < len(raw):
        n = int.from_bytes(raw[p : p + 4], "big", signed=True)
        p += 4
        if not 0 <= n * _VOXEL <= len(raw) - p:
            raise ValueError(f"a cluster of {n} voxels does not fit into the entry")
        ids.append(np.frombuffer(raw, ">u8", n, p).astype(np.uint64))
        values.append(np.frombuffer(raw, ">f4", n, p + 8 * n).astype(np.float32))
        p += _VOXEL * n
    offsets = offsets_of([len(rows) for rows in ids[1:]])
    return Voxels(np.concatenate(ids), np.concatenate(values), offsets)


def _start(raw: bytes) -> int:
    if len(raw) == 0:
        return 0
    if len(raw) < 8 or not int.from_bytes(raw[4:6], "big") & _MEMBER_WISE:
        raise ValueError("voxels are written object-wise, which is not supported")
    return 8 if raw[6:8] != b"\0\0" else 12


def one_set(ids: Array, values: Array) -> Voxels:
    """The voxels of a sparse tensor, as a single cluster."""
    if len(ids) != len(values):
        raise ValueError(f"{len(ids)} voxel numbers for {len(values)} values")
    return Voxels(ids.astype(np.uint64), values.astype(np.float32), np.array([0, len(ids)]))


@dataclass(frozen=True)
class Meta:
    """The grid of an event. lower, size: (3,) float64 cm. number: (3,) int64 voxels."""

    lower: Array
    size: Array
    number: Array

    def __post_init__(self) -> None:
        usable = (self.number > 0).all() and (self.number <= MAX_SIDE).all()
        finite = np.isfinite(self.lower).all() and np.isfinite(self.size).all()
        if not (usable and finite and (self.size > 0).all()):
            raise ValueError(
                f"the grid has {self.number.tolist()} voxels of {self.size.tolist()} cm from "
                f"{self.lower.tolist()}"
            )

    @property
    def upper(self) -> Array:
        return self.lower + self.size * self.number

    def positions(self, ids: Array) -> Array:
        """(N,) voxel numbers, x fastest -> (N, 3) float64 cm, centres."""
        nx, ny, nz = (int(n) for n in self.number)
        if len(ids) and int(ids.max()) >= nx * ny * nz:
            raise ValueError(f"voxel {int(ids.max())} is not on the grid of {nx} x {ny} x {nz}")
        plane, x = np.divmod(ids.astype(np.int64), nx)
        z, y = np.divmod(plane, ny)
        return self.lower + (np.stack([x, y, z], axis=1) + 0.5) * self.size


def values_at(voxels: Voxels, ids: Array, missing: float) -> Array:
    """(N,) value of each voxel number, `missing` where the set lacks it."""
    if len(voxels) == 0:
        return np.full(len(ids), missing, np.float32)
    order = np.argsort(voxels.id, kind="stable")
    known = voxels.id[order]
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[at] == ids, voxels.value[order][at], np.float32(missing))
