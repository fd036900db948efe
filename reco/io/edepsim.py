"""edep-sim ROOT (`EDepSimEvents`): hit segments and trajectories, in mm, MeV and ns."""

import re
from dataclasses import dataclass

import awkward as ak
import numpy as np

from reco.data.product import Product
from reco.data.products import Quantity, TruthDeposits, TruthInteractions, TruthParticles
from reco.data.ragged import Array
from reco.data.tracks import Tracks
from reco.errors import FormatError
from reco.io.base import Description, Entry, EventReader, as_float32, guard
from reco.io.branches import LENGTH, TIME, Branches
from reco.io.edepsim_bytes import HitSegments, hit_segments, primary_tracks, trajectory_points
from reco.io.hits import header_of
from reco.io.masses import kinetic_energy
from reco.io.root import RootFile
from reco.io.simulated import (
    UNKNOWN_PARENT,
    Segments,
    process_codes,
    roots,
    rows_of,
    simulated_event,
    with_stubs,
)

TREE = "EDepSimEvents"
SEGMENTS = "SegmentDetectors"
POINTS, PRIMARIES = "Trajectories.Points", "Primaries.Particles"
TRAJECTORY = "Trajectories.TrackId", "Trajectories.ParentId", "Trajectories.PDGCode"
MOMENTUM, REACTION = "Trajectories.InitialMomentum", "Primaries.Reaction"
NUMBERS = {"run": "RunId", "subrun": "SubRunId", "event": "EventId"}
MM, NS = LENGTH["mm"], TIME["ns"]
PEEK = 16
"""Entries looked at to learn which detectors a file has."""


def recognise(file: RootFile) -> bool:
    return any(name.rsplit("/", 1)[-1] == TREE for name in file.trees)


class EdepSimReader(EventReader):
    def __init__(self, file: RootFile, path: str, branches: Branches) -> None:
        super().__init__(path)
        self.file, self.branches = file, branches
        name = next(name for name in file.trees if name.rsplit("/", 1)[-1] == TREE)
        self.tree = file.tree(name)
        self.tree.check([SEGMENTS, POINTS, PRIMARIES, *TRAJECTORY, MOMENTUM])
        self.numbers = {role: n for role, n in NUMBERS.items() if n in self.tree}
        self.tree.check(list(self.numbers.values()))
        self.detectors = self._detectors()
        self._check_detectors()

    def __len__(self) -> int:
        return self.tree.n_entries

    def describe(self) -> Description:
        chosen = self.branches.detectors or self.detectors
        used = {**self.numbers, "x y z energy t track": SEGMENTS, "truth": POINTS}
        return Description(
            format="edep-sim ROOT",
            path=self.path,
            n_events=len(self),
            quantity=Quantity.ENERGY,
            truth=tuple(k.__name__ for k in (TruthDeposits, TruthParticles, TruthInteractions)),
            branches=tuple((role, f"{self.tree.name}/{name}") for role, name in used.items()),
            units="length mm, time ns, energy MeV",
            extent=f"sensitive detectors: {', '.join(chosen)}" if chosen else "",
            notes=(
                *self.file.notes,
                *(() if chosen else (f"no segment in the first {PEEK} events",)),
            ),
        )

    def events(self, start: int, stop: int) -> list[tuple[Product, ...]]:
        raw = {
            name: self.tree.entry_bytes(name, start, stop) for name in (SEGMENTS, POINTS, PRIMARIES)
        }
        lists = {name: self.tree.lists(name, start, stop) for name in TRAJECTORY}
        momentum = self.tree.objects(MOMENTUM, start, stop)
        reaction = self._reactions(start, stop)
        numbers = {r: self.tree.numbers(n, start, stop) for r, n in self.numbers.items()}
        out: list[tuple[Product, ...]] = []
        for i in range(stop - start):
            track, parent, pdg = (lists[name][i].astype(np.int64) for name in TRAJECTORY)
            event = RawEvent(
                segments=raw[SEGMENTS][i],
                points=raw[POINTS][i],
                primaries=raw[PRIMARIES][i],
                track=track,
                parent=parent,
                pdg=pdg,
                momentum=_vectors(momentum[i]),
                reaction=reaction[i],
            )
            own = {role: int(rows[i]) for role, rows in numbers.items()}
            with guard(self.path, f"entry {start + i}"):
                out.append(self._event(Entry(self.path, start + i), event, own))
        return out

    def _event(self, entry: Entry, raw: "RawEvent", numbers: dict[str, int]) -> tuple[Product, ...]:
        with guard(self.path, f"entry {entry.number}: branch {SEGMENTS!r}"):
            detectors = hit_segments(raw.segments)
        tracks, interaction_of = _tracks(self.path, entry, raw)
        chosen = [
            part
            for name, part in detectors.items()
            if not self.branches.detectors or name in self.branches.detectors
        ]
        ids = np.concatenate([np.zeros(0, np.int64), *(part.track for part in chosen)])
        segments = _segments(chosen, rows_of(raw.track, ids))
        tracks, segments = with_stubs(tracks, segments, ids, np.zeros(len(ids), np.int32))
        header = header_of(entry, **numbers)
        return simulated_event(entry, header, segments, tracks, interaction_of)

    def _reactions(self, start: int, stop: int) -> list[list[str]]:
        if REACTION not in self.tree:
            return [[] for _ in range(stop - start)]
        rows = self.tree.objects(REACTION, start, stop)
        return [[str(text) for text in row] for row in rows.to_list()]

    def _detectors(self) -> tuple[str, ...]:
        names: dict[str, None] = {}
        for number in range(min(PEEK, len(self))):
            try:
                with guard(self.path, f"entry {number}"):
                    (data,) = self.tree.entry_bytes(SEGMENTS, number, number + 1)
                    names |= dict.fromkeys(hit_segments(data))
            except FormatError:
                continue
        return tuple(names)

    def _check_detectors(self) -> None:
        unknown = [name for name in self.branches.detectors if name not in self.detectors]
        if self.detectors and len(unknown) == len(self.branches.detectors) > 0:
            raise FormatError(
                f"{self.path}: no detector {', '.join(unknown)}; its sensitive detectors: "
                f"{', '.join(self.detectors)}"
            )

    def close(self) -> None:
        self.file.close()


@dataclass(frozen=True)
class RawEvent:
    """One entry as it stands in the file. track, parent, pdg: (T,). momentum: (T, 3) MeV/c."""

    segments: Array
    points: Array
    primaries: Array
    track: Array
    parent: Array
    pdg: Array
    momentum: Array
    reaction: list[str]


def _vectors(momentum: ak.Array) -> Array:
    """(T,) TLorentzVector -> (T, 3)."""
    record = momentum["fP"]
    return np.stack([ak.to_numpy(record[f"f{axis}"]) for axis in "XYZ"], axis=1).astype(np.float64)


def _segments(parts: list[HitSegments], track: Array) -> Segments:
    def joined(rows: list[Array], shape: tuple[int, ...]) -> Array:
        return np.concatenate([np.zeros(shape), *rows]).astype(np.float64)

    start = joined([part.start for part in parts], (0, 4))
    stop = joined([part.stop for part in parts], (0, 4))
    energy = joined([part.energy for part in parts], (0,))
    time = (start[:, 3] + stop[:, 3]) / 2 * NS
    return Segments(start[:, :3] * MM, stop[:, :3] * MM, energy, time, track, (SEGMENTS,) * 5)


def _tracks(path: str, entry: Entry, raw: RawEvent) -> tuple[Tracks, Array]:
    """Trajectories, and the PDG code of the neutrino of each vertex."""
    with guard(path, f"entry {entry.number}: branch {POINTS!r}"):
        points = trajectory_points(raw.points)
    if not len(points.length) == len(raw.track) == len(raw.momentum):
        raise entry.error(POINTS, f"has {len(points.length)} rows for {len(raw.track)} tracks")
    with guard(path, f"entry {entry.number}: branch {PRIMARIES!r}"):
        vertices = primary_tracks(raw.primaries)
    primary = raw.parent < 0
    parent = np.where(primary, -1, rows_of(raw.track, raw.parent))
    parent_id = np.where(primary, 0, np.where(parent >= 0, parent + 1, UNKNOWN_PARENT))
    codes = process_codes(
        points.process, points.subprocess, np.where(parent >= 0, raw.pdg[parent], 0), primary
    )
    tracks = Tracks(
        track_id=np.arange(1, len(parent) + 1, dtype=np.int32),
        parent_id=parent_id.astype(np.int32),
        pdg=raw.pdg.astype(np.int32),
        process=codes,
        interaction=_interactions(raw.track, vertices)[roots(parent)],
        start=as_float32(points.start[:, :3] * MM),
        end=as_float32(points.end[:, :3] * MM),
        momentum=as_float32(raw.momentum),
        kinetic_energy=as_float32(kinetic_energy(raw.momentum, raw.pdg)),
        length=as_float32(points.length * MM),
        time=as_float32(points.start[:, 3] * NS),
    )
    return tracks, _neutrinos(raw.reaction, len(vertices))


def _interactions(track: Array, vertices: list[Array]) -> Array:
    """(T,) int32, vertex whose primaries include the track, -1 for none."""
    out = np.full(len(track), -1, np.int32)
    for number, primaries in enumerate(vertices):
        out[np.isin(track, primaries)] = number
    return out


def _neutrinos(reactions: list[str], n_vertices: int) -> Array:
    """(I,) PDG code from GENIE's summary such as `nu:14;tgt:1000180400;...`, 0 without one."""
    out = np.zeros(n_vertices, np.int32)
    for number, text in enumerate(reactions[:n_vertices]):
        found = re.search(r"\bnu:(-?\d{2})\b", text)
        out[number] = int(found.group(1)) if found else 0
    return out
