"""Where each trajectory of an event comes from, and what it will be seen as."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from reco.data.classes import Semantic
from reco.data.ragged import Array
from reco.data.tracks import PROCESSES, Tracks

CAPTURE_ELECTRON_MIN = 1.0
"""MeV. An electron from a captured mu- above this is a Michel electron of a decay in orbit; below
it, it can be an Auger electron of the muonic atom (K shell of argon: 0.9 MeV)."""
AT_REST = 0.1
"""cm. Where a file does not say what made an electron, one that starts this near the end of its
muon is taken for a Michel electron."""

_SHORT_LIVED = (111, 221, 331, 3212)
NEUTRAL = (12, 14, 16, 111, 130, 221, 310, 311, 331, 2112, 3122, 3212, 3322)
_FIRST_NUCLEUS = 1_000_000_000


@dataclass(frozen=True)
class Lineage:
    """Per trajectory (T,).

    parent: int64, row of the parent or -1. root: int64, row of the trajectory that starts its
    family: itself, or the first electron or photon of its shower. kind: int8, what the family is
    seen as if large enough (SHOWER, TRACK, MICHEL, DELTA), or LOW_ENERGY for a neutral hadron,
    which leaves unconnected recoils. soft: bool, a track that is
    low-energy scatter when small (nucleus, neutron-induced). hard: bool, an electron that is a
    shower however small (primary or from a decay). primary: bool, from the vertex itself.
    """

    parent: Array
    root: Array
    kind: Array
    soft: Array
    hard: Array
    primary: Array


def trace(tracks: Tracks) -> Lineage:
    """Follow every trajectory to its family. Rows may stand in any order."""
    parent = parent_rows(tracks)
    code = np.abs(tracks.pdg.astype(np.int64))
    em = (code == 11) | (code == 22)
    parent_code = np.where(parent >= 0, code[parent], 0)
    parent_em = np.where(parent >= 0, em[parent], False)
    process = _processes(tracks, parent)
    from_track = em & (parent >= 0) & ~parent_em
    michel = from_track & _is_michel(tracks, process, parent, parent_code)
    delta = from_track & ~michel & _is_delta(tracks.pdg, process, parent_code)
    vertex = (parent < 0) & ((tracks.parent_id <= 0) | (process == _number("primary")))
    root, primary = _descend(
        parent, ~em | (parent < 0) | ~parent_em, vertex, np.isin(code, _SHORT_LIVED)
    )
    kind = np.full(len(tracks), Semantic.TRACK, np.int8)
    kind[em] = Semantic.SHOWER
    kind[michel] = Semantic.MICHEL
    kind[delta] = Semantic.DELTA
    neutron_made = (process == _number("neutron")) | (parent_code == 2112)
    kind[np.isin(code, NEUTRAL)] = Semantic.LOW_ENERGY
    soft = ~em & (neutron_made | (code >= _FIRST_NUCLEUS))
    decay = (parent >= 0) & (process == _number("decay"))
    return Lineage(parent, root, kind, soft, (code == 11) & (primary | decay), primary)


def parent_rows(tracks: Tracks) -> Array:
    """(T,) int64, row of each trajectory's parent; -1 for none, or one that is not in the file."""
    order = np.argsort(tracks.track_id, kind="stable")
    ids = tracks.track_id[order]
    at = np.minimum(np.searchsorted(ids, tracks.parent_id), max(len(ids) - 1, 0))
    known = (ids[at] == tracks.parent_id) & (tracks.parent_id != tracks.track_id)
    orphan = (tracks.parent_id < 0) | (tracks.process == _number("primary"))
    return np.where(known & ~orphan, order[at], -1).astype(np.int64)


def visible_ancestor(lineage: Lineage, visible: Array) -> Array:
    """(C,) rows of the families that are seen -> (C,) the nearest of them above each, or -1."""
    is_seen = np.zeros(len(lineage.root), bool)
    is_seen[visible] = True
    at = lineage.parent[visible]
    while True:
        family = np.where(at >= 0, lineage.root[at], -1)
        search = (family >= 0) & ~is_seen[family]
        if not search.any():
            return family
        at = np.where(search, lineage.parent[family], at)


def _number(process: str) -> int:
    return PROCESSES.index(process)


def _processes(tracks: Tracks, parent: Array) -> Array:
    unnamed = (tracks.process == _number("unknown")) & (parent < 0) & (tracks.parent_id <= 0)
    return np.where(unnamed, _number("primary"), tracks.process)


def _is_michel(tracks: Tracks, process: Array, parent: Array, parent_code: Array) -> Array:
    electron = (np.abs(tracks.pdg) == 11) & (parent_code == 13)
    energetic = tracks.kinetic_energy > CAPTURE_ELECTRON_MIN
    gap = np.linalg.norm(tracks.start - tracks.end[parent], axis=1)
    guessed = (process == _number("unknown")) & energetic & (gap < AT_REST)
    captured = (process == _number("capture")) & energetic & (tracks.pdg == 11)
    made = (process == _number("decay")) | captured | guessed
    return np.asarray(electron & made)


def _is_delta(pdg: Array, process: Array, parent_code: Array) -> Array:
    charged = ~np.isin(parent_code, NEUTRAL)
    made = (process == _number("ionisation")) | (process == _number("unknown"))
    return np.asarray((pdg == 11) & charged & made)


@njit(cache=True)
def _descend(parent, starts, vertex, short_lived):  # type: ignore[no-untyped-def]
    # Parents can stand after their children, so each chain is walked up to what is known and
    # then resolved downwards. A chain longer than the event is a cycle, and is cut in `parent`.
    n = len(parent)
    root = np.full(n, -1, np.int64)
    primary = vertex.copy()
    chain = np.empty(n, np.int64)
    for row in range(n):
        depth, at = 0, row
        while at >= 0 and root[at] < 0 and depth < n:
            chain[depth] = at
            depth += 1
            at = parent[at]
        for i in range(depth - 1, -1, -1):
            at = chain[i]
            if parent[at] >= 0 and root[parent[at]] < 0:
                parent[at] = -1
            above = parent[at]
            root[at] = at if starts[at] or above < 0 else root[above]
            if above >= 0:
                primary[at] = primary[above] and short_lived[above]
    return root, primary
