"""The parts of edep-sim's ROOT events that uproot cannot interpret, decoded from their bytes.

Everything is big-endian. All functions raise ValueError when the bytes do not add up; no count
is believed before the bytes that it stands for are seen to be there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from reco.data.ragged import Array

_BYTE_COUNT = 0x40000000
_MEMBER_WISE = 0x4000
_OBJECT = 10
"""TObject: version, unique id, bits."""
_LORENTZ, _VECTOR = 64, 40
"""TLorentzVector and TVector3 with their headers; the four (three) numbers stand last."""
_SEGMENT_HEAD, _SEGMENT_TAIL = 26, 16 + 2 * _LORENTZ
_POINT = _OBJECT + _LORENTZ + _VECTOR + 8

_TAIL = np.dtype(
    {
        "names": ["primary", "energy", "secondary", "length", "start", "stop"],
        "formats": [">i4", ">f4", ">f4", ">f4", (">f8", 4), (">f8", 4)],
        "offsets": [0, 4, 8, 12, 16 + 32, 16 + 64 + 32],
        "itemsize": _SEGMENT_TAIL,
    }
)


@dataclass(frozen=True)
class HitSegments:
    """TG4HitSegments of one detector: start, stop (S, 4) mm and ns, energy (S,) MeV, track (S,)
    int64, the first contributing trajectory or -1."""

    start: Array
    stop: Array
    energy: Array
    track: Array


def hit_segments(data: Array) -> dict[str, HitSegments]:
    """One entry of SegmentDetectors, map<string, vector<TG4HitSegment>>. data: (B,) uint8."""
    raw = data.tobytes()
    if _u2(raw, 4) & _MEMBER_WISE:
        raise ValueError("segments are written member-wise, which is not supported")
    n, p = _i4(raw, 6), 10
    detectors: dict[str, HitSegments] = {}
    for _ in range(n):
        name, p = _string(raw, p)
        detectors[name], p = _vector_of_segments(data, raw, p)
    _at_end(raw, p)
    return detectors


def _vector_of_segments(data: Array, raw: bytes, p: int) -> tuple[HitSegments, int]:
    n, p = _count(raw, p, _SEGMENT_HEAD + _SEGMENT_TAIL)
    heads = np.empty(n, np.int64)
    lengths = np.empty(n, np.int64)
    for i in range(n):
        heads[i] = p
        lengths[i] = size = (_u4(raw, p) & ~_BYTE_COUNT) + 4
        p += size
    if n and (p > len(raw) or lengths.min() < _SEGMENT_HEAD + _SEGMENT_TAIL):
        raise ValueError("a segment is longer than its entry or too short")
    contributors = _gather(data, heads + _SEGMENT_HEAD - 4, np.dtype(">i4")).astype(np.int64)
    if not np.array_equal(lengths, _SEGMENT_HEAD + 4 * contributors + _SEGMENT_TAIL):
        raise ValueError("a segment has not the length it should have")
    first = _gather(data, heads + _SEGMENT_HEAD, np.dtype(">i4")).astype(np.int64)
    tail = _gather(data, heads + _SEGMENT_HEAD + 4 * contributors, _TAIL)
    track = np.where(contributors > 0, first, -1)
    return HitSegments(tail["start"], tail["stop"], tail["energy"], track), p


@dataclass(frozen=True)
class TrajectoryPoints:
    """Ends of T trajectories: start, end (T, 4) mm and ns, NaN for one without points. length:
    (T,) mm. process, subprocess: (T,) int64 of the first point, Geant4's numbers."""

    start: Array
    end: Array
    length: Array
    process: Array
    subprocess: Array


def trajectory_points(data: Array) -> TrajectoryPoints:
    """One entry of Trajectories.Points, a member-wise vector<TG4TrajectoryPoint>[]."""
    raw = data.tobytes()
    heads, counts = [], []
    p = _member_wise_start(raw)
    while p < len(raw):
        n, begin = _count(raw, p, _POINT)
        heads.append(begin)
        counts.append(n)
        p = begin + _POINT * n
    return _ends(data, np.array(heads, np.int64), np.array(counts, np.int64))


def _ends(data: Array, head: Array, n: Array) -> TrajectoryPoints:
    owner = np.repeat(np.arange(len(n)), n)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(n) - n, n)
    vectors = head + _OBJECT * n
    at = vectors[owner] + _LORENTZ * step + _LORENTZ - 32
    points = _gather(data, at, np.dtype((">f8", 4))).astype(np.float64)
    codes = vectors + (_LORENTZ + _VECTOR) * n
    some = np.flatnonzero(n > 0)
    start, end = np.full((len(n), 4), np.nan), np.full((len(n), 4), np.nan)
    process, subprocess = np.zeros(len(n), np.int64), np.zeros(len(n), np.int64)
    last = np.cumsum(n)[some] - 1
    start[some], end[some] = points[last - n[some] + 1], points[last]
    process[some] = _gather(data, codes[some], np.dtype(">i4"))
    subprocess[some] = _gather(data, codes[some] + 4 * n[some], np.dtype(">i4"))
    steps = np.linalg.norm(np.diff(points[:, :3], axis=0), axis=1)
    same = owner[1:] == owner[:-1]
    length = np.bincount(owner[1:][same], steps[same], len(n))
    return TrajectoryPoints(start, end, length, process, subprocess)


def primary_tracks(data: Array) -> list[Array]:
    """One entry of Primaries.Particles -> the trajectories (int64) of each primary vertex."""
    raw = data.tobytes()
    p = _member_wise_start(raw)
    vertices: list[Array] = []
    while p < len(raw):
        n, p = _count(raw, p, _OBJECT + 9 + _LORENTZ)
        p += _OBJECT * n
        vertices.append(np.frombuffer(raw, ">i4", n, p).astype(np.int64))
        p += 4 * n + 6
        for _ in range(n):
            _, p = _string(raw, p)
        p += (4 + _LORENTZ) * n
    _at_end(raw, p)
    return vertices


def _member_wise_start(raw: bytes) -> int:
    """Position after the header: byte count, version, and version of the class or checksum."""
    if len(raw) == 0:
        return 0
    if not _u2(raw, 4) & _MEMBER_WISE:
        raise ValueError("objects are written object-wise, which is not supported")
    return 8 if _u2(raw, 6) else 12


def _gather(data: Array, at: Array, dtype: np.dtype[Any]) -> Array:
    """One item of dtype from each position."""
    base, shape = dtype.subdtype or (dtype, ())
    if len(at) == 0:
        return np.zeros((0, *shape), base)
    if at.min() < 0 or at.max() + dtype.itemsize > len(data):
        raise ValueError("an object reaches beyond its entry")
    rows = data[at[:, None] + np.arange(dtype.itemsize)]
    return np.ascontiguousarray(rows).view(base).reshape(len(at), *shape)


def _count(raw: bytes, p: int, size: int) -> tuple[int, int]:
    """A number of objects of at least size bytes each, and the position after it."""
    n = _i4(raw, p)
    if not 0 <= n * size <= len(raw) - p - 4:
        raise ValueError(f"{n} objects of {size} bytes do not fit into the entry")
    return n, p + 4


def _string(raw: bytes, p: int) -> tuple[str, int]:
    n, p = (raw[p], p + 1) if raw[p] < 255 else (_i4(raw, p + 1), p + 5)
    if not 0 <= n <= len(raw) - p:
        raise ValueError(f"a text of {n} bytes does not fit into the entry")
    return raw[p : p + n].decode(errors="replace"), p + n


def _at_end(raw: bytes, p: int) -> None:
    if p != len(raw):
        raise ValueError(f"{len(raw)} bytes in the entry, {p} used")


def _integer(raw: bytes, p: int, size: int, signed: bool) -> int:
    if p + size > len(raw):
        raise ValueError("the entry ends early")
    return int.from_bytes(raw[p : p + size], "big", signed=signed)


def _i4(raw: bytes, p: int) -> int:
    return _integer(raw, p, 4, True)


def _u4(raw: bytes, p: int) -> int:
    return _integer(raw, p, 4, False)


def _u2(raw: bytes, p: int) -> int:
    return _integer(raw, p, 2, False)
