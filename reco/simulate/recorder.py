"""What happens in an event, as Geant4 tells it track by track and step by step."""

from array import array
from typing import Any

import numpy as np

from reco.data.ragged import Array
from reco.data.tracks import Deposits, Tracks
from reco.simulate.processes import category

MM, NS = 0.1, 1e-3
"""Geant4's units in cm and µs."""


class Recorder:
    """Collects the steps and tracks of the event that runs, as flat rows of numbers."""

    _STEP, _TRACK = 8, 19

    def __init__(self) -> None:
        self.deposits = array("d")
        self._tracks = array("d")
        self._pdg: dict[int, int] = {}
        # Held so that the binding finds the wrappers of definitions and processes again.
        self._kinds: dict[Any, tuple[int, float, float]] = {}
        self._names: dict[Any, str] = {None: ""}

    def clear(self) -> None:
        del self.deposits[:], self._tracks[:]
        self._pdg.clear()

    def track(self, track: Any) -> None:
        """Note a track that has come to its end; all its steps were noted just before."""
        number, parent = track.GetTrackID(), track.GetParentID()
        kind = self._kind(track.GetParticleDefinition())
        self._pdg[number] = kind[0]
        process = self._name(track.GetCreatorProcess())
        a, b, d = track.GetVertexPosition(), track.GetPosition(), track.GetVertexMomentumDirection()
        self._tracks.extend((
            number, parent, *kind, category(process, self._pdg.get(parent, 0)),
            track.GetVertexKineticEnergy(), track.GetTrackLength(),
            track.GetGlobalTime() - track.GetLocalTime(),
            a.x, a.y, a.z, b.x, b.y, b.z, d.x, d.y, d.z, len(self.deposits),
        ))  # fmt: skip

    def _kind(self, definition: Any) -> tuple[int, float, float]:
        kind = self._kinds.get(definition)
        if kind is None:
            d = definition
            kind = d.GetPDGEncoding(), d.GetPDGMass(), d.GetPDGCharge()
            self._kinds[definition] = kind
        return kind

    def _name(self, process: Any) -> str:
        name = self._names.get(process)
        if name is None:
            name = self._names[process] = process.GetProcessName()
        return name

    def event(self, interactions: Array) -> tuple[Tracks, Deposits]:
        """interactions: (P,) of the primaries. The event since the last clear()."""
        tracks = np.array(self._tracks).reshape(-1, self._TRACK)
        steps = np.array(self.deposits).reshape(-1, self._STEP)
        counts = np.diff(tracks[:, -1], prepend=0).astype(np.int64) // self._STEP
        row = np.repeat(np.arange(len(tracks)), counts)
        neutral = tracks[row, 4] == 0
        steps[neutral, :3] = steps[neutral, 3:6]
        order = np.argsort(tracks[:, 0])
        tracks, row = tracks[order], np.argsort(order)[row]
        ancestor, kept = _family(tracks[:, 0], tracks[:, 1], np.unique(row))
        interaction = interactions[ancestor[kept]] if len(kept) else interactions
        where = np.full(len(tracks), -1)
        where[kept] = np.arange(len(kept))
        return _tracks(tracks[kept], interaction), _deposits(steps, where[row])


def _family(number: Array, parent: Array, seen: Array) -> tuple[Array, Array]:
    """(T,) row of the primary each track comes from, and the rows to keep: those seen, the
    primaries, and all between them. Numbers rise, and a parent's is below its children's."""
    mother = np.searchsorted(number, parent)
    primary = parent == 0
    ancestor = np.where(primary, np.arange(len(number)), mother)
    while not primary[ancestor].all():
        ancestor = ancestor[ancestor]
    keep = primary.copy()
    front = seen
    while len(front):
        front = front[~keep[front]]
        keep[front] = True
        front = np.unique(mother[front])
    return ancestor, np.flatnonzero(keep)


def _tracks(rows: Array, interaction: Array) -> Tracks:
    mass, energy, direction = rows[:, 3:4], rows[:, 6:7], rows[:, 15:18]
    momentum = np.sqrt(energy * (energy + 2 * mass)) * direction
    return Tracks(
        track_id=rows[:, 0].astype(np.int32),
        parent_id=rows[:, 1].astype(np.int32),
        pdg=rows[:, 2].astype(np.int32),
        process=rows[:, 5].astype(np.int8),
        interaction=interaction.astype(np.int32),
        start=(rows[:, 9:12] * MM).astype(np.float32),
        end=(rows[:, 12:15] * MM).astype(np.float32),
        momentum=momentum.astype(np.float32),
        kinetic_energy=rows[:, 6].astype(np.float32),
        length=(rows[:, 7] * MM).astype(np.float32),
        time=(rows[:, 8] * NS).astype(np.float32),
    )


def _deposits(rows: Array, track: Array) -> Deposits:
    return Deposits(
        track=track.astype(np.int32),
        start=(rows[:, 0:3] * MM).astype(np.float32),
        end=(rows[:, 3:6] * MM).astype(np.float32),
        energy=rows[:, 6].astype(np.float32),
        time=(rows[:, 7] * NS).astype(np.float32),
    )
