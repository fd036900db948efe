"""Small events written by hand: rows of trajectories, straight lines of deposits."""

from dataclasses import dataclass

import numpy as np

from reco.data.tracks import PROCESSES, Deposits, Tracks


@dataclass(frozen=True)
class Row:
    """One trajectory; it leaves `per_step` MeV every 0.3 cm unless silent."""

    id: int
    parent: int
    pdg: int
    process: str
    start: tuple[float, float, float]
    end: tuple[float, float, float]
    energy: float = 100.0
    silent: bool = False
    interaction: int = 0
    per_step: float = 0.5


def event(rows: list[Row]) -> tuple[Tracks, Deposits]:
    """Tracks in the given order, and their deposits in steps of 0.3 cm, later rows later."""
    start = np.array([r.start for r in rows], np.float32).reshape(-1, 3)
    end = np.array([r.end for r in rows], np.float32).reshape(-1, 3)
    way = end - start
    tracks = Tracks(
        track_id=np.array([r.id for r in rows], np.int32),
        parent_id=np.array([r.parent for r in rows], np.int32),
        pdg=np.array([r.pdg for r in rows], np.int32),
        process=np.array([PROCESSES.index(r.process) for r in rows], np.int8),
        interaction=np.array([r.interaction for r in rows], np.int32),
        start=start,
        end=end,
        momentum=way,
        kinetic_energy=np.array([r.energy for r in rows], np.float32),
        length=np.linalg.norm(way, axis=1),
        time=np.arange(len(rows), dtype=np.float32),
    )
    return tracks, _deposits(rows)


def _deposits(rows: list[Row]) -> Deposits:
    parts = [_steps(i, row) for i, row in enumerate(rows) if not row.silent]
    joined = [np.concatenate(c) for c in zip(*parts, strict=True)] if parts else _nothing()
    track, start, end, energy, time = joined
    return Deposits(
        track.astype(np.int32),
        start.astype(np.float32),
        end.astype(np.float32),
        energy.astype(np.float32),
        time.astype(np.float32),
    )


def _nothing() -> list[np.ndarray]:
    return [np.zeros(0), np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros(0)]


def _steps(number: int, row: Row) -> tuple[np.ndarray, ...]:
    start, end = np.array(row.start), np.array(row.end)
    n = max(round(float(np.linalg.norm(end - start)) / 0.3), 1)
    corners = start + np.linspace(0, 1, n + 1)[:, None] * (end - start)
    time = number + np.arange(n) * 1e-4
    return np.full(n, number), corners[:-1], corners[1:], np.full(n, row.per_step), time
