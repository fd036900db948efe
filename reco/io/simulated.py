"""Simulated segments of one event -> its hits and its truth, for all formats that have segments."""

from dataclasses import dataclass, fields

import numpy as np

from reco.data.labels import label
from reco.data.product import Product
from reco.data.products import Header, Hits, Quantity, TruthDeposits
from reco.data.ragged import Array
from reco.data.tracks import PROCESSES, Deposits, Tracks
from reco.io.base import Entry, as_float32
from reco.io.hits import HitColumns, deposits_on_hits, hits_of

PIECE = 0.15
"""cm. A longer segment is cut evenly, so that its energy reaches every voxel it crosses."""
MAX_LENGTH = 1e4
"""cm. No detector holds a longer segment."""
MAX_PIECES = 100_000_000
UNKNOWN_PARENT = 2**31 - 1
"""Parent of a trajectory whose parent the file does not give."""
NEUTRON = 2112


@dataclass(frozen=True)
class Segments:
    """Energy deposits of one event, S rows.

    start, end: (S, 3) float64 cm. energy: (S,) MeV. time: (S,) µs. track: (S,) int64, row of the
    tracks, -1 for none of them. names: branches of x, y, z, energy and time, for messages.
    """

    start: Array
    end: Array
    energy: Array
    time: Array
    track: Array
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.energy)


def hits_along(entry: Entry, segments: Segments) -> tuple[Hits, Array]:
    """Hits at most PIECE apart along each segment, and the segment (N,) of each hit."""
    length = np.linalg.norm(segments.end - segments.start, axis=1)
    if not np.isfinite(length).all():
        hits_of(entry, _columns(segments, segments.start), Quantity.ENERGY)
        hits_of(entry, _columns(segments, segments.end), Quantity.ENERGY)
    if len(length) and not length.max() < MAX_LENGTH:
        row = int(np.argmax(length))
        raise entry.error(
            segments.names[0],
            f"gives a segment {length[row]:g} cm long at row {row}",
            "check the length unit of the file, or make it again",
        )
    n = np.maximum(np.ceil(length / PIECE), 1).astype(np.int64)
    if n.sum() > MAX_PIECES:
        raise entry.error(segments.names[0], f"gives segments of {length.sum():g} cm in all")
    owner = np.repeat(np.arange(len(n)), n)
    along = (np.arange(len(owner)) - np.repeat(np.cumsum(n) - n, n) + 0.5) / n[owner]
    position = segments.start[owner] + along[:, None] * (segments.end - segments.start)[owner]
    columns = HitColumns(
        position, (segments.energy / n)[owner], segments.time[owner], segments.names
    )
    return hits_of(entry, columns, Quantity.ENERGY), owner


def _columns(segments: Segments, position: Array) -> HitColumns:
    return HitColumns(position, segments.energy, segments.time, segments.names)


def simulated_event(
    entry: Entry, header: Header, segments: Segments, tracks: Tracks, neutrino_pdg: Array | None
) -> tuple[Product, ...]:
    """Header, Hits, TruthDeposits, TruthParticles and TruthInteractions of one event."""
    hits, row = hits_along(entry, segments)
    deposits = Deposits(
        segments.track.astype(np.int32),
        as_float32(segments.start),
        as_float32(segments.end),
        as_float32(segments.energy),
        as_float32(segments.time),
    )
    truth = label(tracks, deposits, bounds=box(deposits), neutrino_pdg=neutrino_pdg)
    labelled: TruthDeposits = deposits_on_hits(
        hits,
        hits.value.values,
        truth.semantic[row],
        truth.fragment[row],
        truth.particle[row],
    )
    return (header, hits, labelled, truth.particles, truth.interactions)


def box(deposits: Deposits) -> tuple[Array, Array] | None:
    """The box around all deposits.

    A file of segments says nothing of the volume that is seen. Where a trajectory leaves the box
    of what the event left there, it has left the volume.
    """
    if len(deposits) == 0:
        return None
    ends = np.concatenate([deposits.start, deposits.end]).astype(np.float64)
    return ends.min(axis=0) - 1e-3, ends.max(axis=0) + 1e-3


def rows_of(keys: Array, wanted: Array) -> Array:
    """(N,) row of each wanted key among the keys, -1 where there is none."""
    if len(keys) == 0:
        return np.full(len(wanted), -1, np.int64)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)
    return np.where(keys[order][at] == wanted, order[at], -1).astype(np.int64)


def with_stubs(
    tracks: Tracks, segments: Segments, track_id: Array, pdg: Array
) -> tuple[Tracks, Segments]:
    """Add a track for each identity among the segments that has none.

    track_id, pdg: (S,) of each segment. What only the trajectory could tell stays unknown: parent
    UNKNOWN_PARENT, interaction -1, energy NaN.
    """
    lost = np.flatnonzero(segments.track < 0)
    if len(lost) == 0:
        return tracks, segments
    _, first, which = np.unique(track_id[lost], return_index=True, return_inverse=True)
    row = segments.track.copy()
    row[lost] = len(tracks) + which
    stubs = _stubs(segments, lost, which, pdg[lost[first]], len(tracks) + 1)
    joined = Tracks(
        *(np.concatenate([getattr(tracks, f.name), getattr(stubs, f.name)]) for f in fields(Tracks))
    )
    return joined, Segments(
        segments.start, segments.end, segments.energy, segments.time, row, segments.names
    )


def _stubs(segments: Segments, lost: Array, which: Array, pdg: Array, first_id: int) -> Tracks:
    n = len(pdg)
    by_time = lost[np.lexsort((np.arange(len(lost)), segments.time[lost], which))]
    counts = np.bincount(which, minlength=n)
    last = np.cumsum(counts) - 1
    start, end = segments.start[by_time[last - counts + 1]], segments.end[by_time[last]]
    length = np.bincount(
        which, np.linalg.norm(segments.end[lost] - segments.start[lost], axis=1), n
    )
    return Tracks(
        track_id=np.arange(first_id, first_id + n, dtype=np.int32),
        parent_id=np.full(n, UNKNOWN_PARENT, np.int32),
        pdg=pdg.astype(np.int32),
        process=np.full(n, PROCESSES.index("unknown"), np.int8),
        interaction=np.full(n, -1, np.int32),
        start=as_float32(start),
        end=as_float32(end),
        momentum=as_float32(end - start),
        kinetic_energy=np.full(n, np.nan, np.float32),
        length=as_float32(length),
        time=as_float32(segments.time[by_time[last - counts + 1]]),
    )


def no_tracks() -> Tracks:
    """The tracks of an event without trajectories."""
    none, vectors = np.zeros(0, np.float32), np.zeros((0, 3), np.float32)
    ids = np.zeros(0, np.int32)
    return Tracks(
        ids, ids, ids, ids.astype(np.int8), ids, vectors, vectors, vectors, none, none, none
    )


_ELECTROMAGNETIC, _HADRONIC, _DECAY = 2, 4, 6
_SUBPROCESS = {
    (_ELECTROMAGNETIC, 2): "ionisation",
    (_ELECTROMAGNETIC, 3): "bremsstrahlung",
    (_ELECTROMAGNETIC, 4): "conversion",
    (_ELECTROMAGNETIC, 5): "annihilation",
    (_ELECTROMAGNETIC, 12): "photoelectric",
    (_ELECTROMAGNETIC, 13): "compton",
    (_ELECTROMAGNETIC, 14): "conversion",
    (_ELECTROMAGNETIC, 15): "conversion",
    (_HADRONIC, 131): "neutron",
    (_HADRONIC, 132): "capture",
    (_HADRONIC, 151): "capture",
    (_HADRONIC, 152): "capture",
    (_HADRONIC, 210): "decay",
}
"""Geant4's G4ProcessType, and G4EmProcessSubType or G4HadronicProcessType, of what is told apart
by the label rules."""


def process_codes(kind: Array, subprocess: Array, parent_pdg: Array, primary: Array) -> Array:
    """Geant4's process and subprocess numbers -> (T,) int8, positions in PROCESSES."""
    out = np.full(len(kind), PROCESSES.index("other"), np.int8)
    out[kind <= 0] = PROCESSES.index("unknown")
    out[kind == _DECAY] = PROCESSES.index("decay")
    out[kind == _HADRONIC] = PROCESSES.index("hadronic")
    for (number, sub), name in _SUBPROCESS.items():
        out[(kind == number) & (subprocess == sub)] = PROCESSES.index(name)
    by_neutron = (out == PROCESSES.index("hadronic")) & (parent_pdg == NEUTRON)
    out[by_neutron] = PROCESSES.index("neutron")
    out[primary] = PROCESSES.index("primary")
    return out


def roots(parent: Array) -> Array:
    """(T,) row of the parent or -1 -> (T,) row of the first ancestor; a cycle ends within it."""
    up = np.where(parent >= 0, parent, np.arange(len(parent)))
    for _ in range(len(parent).bit_length()):
        up = up[up]
    return up
