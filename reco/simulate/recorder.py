"""What happens in an event, as Geant4 tells it track by track and step by step."""

from array import array
from typing import Any

import numpy as np

from reco.data.ragged import Array
from reco.data.tracks import Deposits, Tracks
from reco.simulate.processes import category

MM, NS = 0.1, 1e-3
"""Geant4's units in cm and µs."""

_TRACK = np.dtype(
    [(name, "f8") for name in ("number", "parent", "pdg", "mass", "charge", "process")]
    + [(name, "f8") for name in ("kinetic_energy", "length", "time")]
    + [(name, "f8", 3) for name in ("start", "end", "direction")]
    + [("noted", "f8")]
)
"""A track as it is noted, in Geant4's units; noted: length of the list of steps at its end."""

_STEP = np.dtype([("start", "f8", 3), ("end", "f8", 3), ("energy", "f8"), ("time", "f8")])


class Recorder:
    """Collects the steps and tracks of the event that runs, as flat rows of numbers."""

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
        self._tracks.extend((  # the fields of _TRACK
            number, parent, *kind, category(process, self._pdg.get(parent, 0)),
            track.GetVertexKineticEnergy(), track.GetTrackLength(),
            track.GetGlobalTime() - track.GetLocalTime(),
            a.x, a.y, a.z, b.x, b.y, b.z, d.x, d.y, d.z, len(self.deposits),
        ))  # fmt: skip

    def _kind(self, definition: Any) -> tuple[int, float, float]:
        kind = self._kinds.get(definition)
        if kind is None:
            kind = (
                definition.GetPDGEncoding(),
                definition.GetPDGMass(),
                definition.GetPDGCharge(),
            )
            self._kinds[definition] = kind
        return kind

    def _name(self, process: Any) -> str:
        name = self._names.get(process)
        if name is None:
            name = self._names[process] = process.GetProcessName()
        return name

    def event(self, interactions: Array) -> tuple[Tracks, Deposits]:
        """interactions: (P,) of the primaries. The event since the last clear()."""
        tracks = np.array(self._tracks).view(_TRACK)
        steps = np.array(self.deposits).view(_STEP)
        doubles = np.diff(tracks["noted"], prepend=0).astype(np.int64)
        row = np.repeat(np.arange(len(tracks)), doubles // (_STEP.itemsize // 8))
        neutral = tracks["charge"][row] == 0
        steps["start"][neutral] = steps["end"][neutral]
        order = np.argsort(tracks["number"])
        tracks, row = tracks[order], np.argsort(order)[row]
        ancestor, kept = _family(tracks["number"], tracks["parent"], np.unique(row))
        new_row = np.full(len(tracks), -1)
        new_row[kept] = np.arange(len(kept))
        return _tracks(tracks[kept], interactions[ancestor[kept]]), _deposits(steps, new_row[row])


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
    energy = rows["kinetic_energy"]
    momentum = np.sqrt(energy * (energy + 2 * rows["mass"]))[:, None] * rows["direction"]
    return Tracks(
        track_id=rows["number"].astype(np.int32),
        parent_id=rows["parent"].astype(np.int32),
        pdg=rows["pdg"].astype(np.int32),
        process=rows["process"].astype(np.int8),
        interaction=interaction.astype(np.int32),
        start=(rows["start"] * MM).astype(np.float32),
        end=(rows["end"] * MM).astype(np.float32),
        momentum=momentum.astype(np.float32),
        kinetic_energy=energy.astype(np.float32),
        length=(rows["length"] * MM).astype(np.float32),
        time=(rows["time"] * NS).astype(np.float32),
    )


def _deposits(rows: Array, track: Array) -> Deposits:
    return Deposits(
        track=track.astype(np.int32),
        start=(rows["start"] * MM).astype(np.float32),
        end=(rows["end"] * MM).astype(np.float32),
        energy=rows["energy"].astype(np.float32),
        time=(rows["time"] * NS).astype(np.float32),
    )
