"""What there is to see of one event: pure functions from its products to arrays.

Whatever stage the products stop at, what they lack is absent from the scene.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from reco.data.classes import Semantic, Status
from reco.data.product import EVENTS, Product
from reco.data.ragged import Array, Ragged
from reco.display.colours import best_partners, by_size, paired
from reco.display.facts import Facts, Table, interaction_facts, particle_facts
from reco.display.shapes import edges

OWNERS = ("fragment", "particle", "interaction")
LABELS = ("semantic", *OWNERS)
TRUTH = "truth_"
"""Before the names of true labels and tables."""
NO_ROWS = np.empty(0, np.int32)

Tables = Mapping[str, Table]


@dataclass(frozen=True)
class Cloud:
    """Voxels. position: (N, 3) float32, cm. energy: (N,) float32, MeV.

    labels: (N,) integers by name: `semantic`, `pid`, `fragment`, `particle`, `interaction`, and the
    same with `truth_` before; -1 is none.
    """

    position: Array
    energy: Array
    labels: Mapping[str, Array]


@dataclass(frozen=True)
class Points:
    """Points of interest. position: (M, 3), cm. type: (M,) semantic class. score: (M,)."""

    position: Array
    type: Array
    score: Array


@dataclass(frozen=True)
class Starts:
    """Where particles begin, low-energy scatters left out.

    position: (S, 3), cm. direction: (S, 3). row: (S,) the particle.
    """

    position: Array
    direction: Array
    row: Array


@dataclass(frozen=True)
class Vertices:
    """Of interactions that are more than low-energy scatters.

    position: (V, 3), cm. covariance: (V, 3, 3), cm2, NaN where it is not known. row: (V,) the
    interaction.
    """

    position: Array
    covariance: Array
    row: Array


@dataclass(frozen=True)
class Side:
    """The reconstruction of an event, or its truth.

    particles, interactions: a text per row and heading. n_voxels: (P,) of each particle. partner:
    (P,) the particle of the other side with the best overlap, -1 none; empty where there is no
    other side. slots: for each owner of voxels (`fragment`, `particle`, `interaction`) the place in
    the palette.
    """

    voxels: Cloud
    points: Points
    starts: Starts
    vertices: Vertices
    particles: Facts
    interactions: Facts
    n_voxels: Array
    partner: Array
    slots: Mapping[str, Array]


@dataclass(frozen=True)
class Scene:
    """All that a page shows of one event.

    title: run, subrun and event. note: what became of it, "" where all is well. outline: lines of
    the detector, see `shapes`.
    """

    title: str
    note: str
    reconstruction: Side
    truth: Side | None
    outline: Array


def scene_of(products: Iterable[Product], boxes: Array) -> Scene:
    """products: of exactly one event. boxes: (V, 2, 3) corners of the detector's volumes, cm."""
    tables = tables_of(products)
    found, true = _found_voxels(tables), _true_voxels(tables)
    slots, true_slots = _slots(tables, found.labels, true.labels if true is not None else {})
    partners = _partners(tables, found.labels, "", TRUTH)
    true_partners = _partners(tables, found.labels, TRUTH, "")
    return Scene(
        title=_title(tables.get(EVENTS, {})),
        note=_note(tables.get(EVENTS, {})),
        reconstruction=_side(tables, "", found, slots, partners),
        truth=_side(tables, TRUTH, true, true_slots, true_partners) if true is not None else None,
        outline=edges(boxes),
    )


def tables_of(products: Iterable[Product]) -> Tables:
    """Columns by table and name; those of several parts go by the name of their field."""
    tables: dict[str, dict[str, Array]] = {}
    for product in products:
        for field, data in product.items():
            spec = product.columns()[field.name]
            name = spec.name if len(spec.parts) == 1 else field.name
            rows = data[0] if isinstance(data, Ragged) else data
            tables.setdefault(spec.table, {})[name] = rows
    return tables


def _found_voxels(tables: Tables) -> Cloud:
    voxels = tables.get("voxels", {})
    labels = {n: voxels[n] for n in (*LABELS, *map(TRUTH.__add__, LABELS)) if n in voxels}
    return _cloud(voxels, labels, tables.get("particles", {}))


def _true_voxels(tables: Tables) -> Cloud | None:
    """Those of the simulation, else the reconstructed ones with true labels, else none."""
    own, shared = tables.get("truth_voxels", {}), tables.get("voxels", {})
    true_particles = tables.get("truth_particles", {})
    if "semantic" in own:
        return _cloud(own, {name: own[name] for name in LABELS}, true_particles)
    if "truth_semantic" in shared:
        return _cloud(shared, {name: shared[TRUTH + name] for name in LABELS}, true_particles)
    return None


def _cloud(voxels: Table, labels: dict[str, Array], particles: Table) -> Cloud:
    if "particle" in labels and "pid" in particles:
        labels = labels | {"pid": _looked_up(particles["pid"], labels["particle"])}
    position = voxels.get("position", np.empty((0, 3), np.float32))
    return Cloud(position, voxels.get("energy", np.zeros(len(position), np.float32)), labels)


def _looked_up(values: Array, rows: Array) -> Array:
    return np.append(values, values.dtype.type(-1))[rows]  # row -1 is the one appended


def _slots(
    tables: Tables, found: Mapping[str, Array], true: Mapping[str, Array]
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Of the reconstruction and of the truth, by owner."""
    ours, theirs = {}, {}
    for name in OWNERS:
        labels = found.get(TRUTH + name, NO_ROWS)
        if name in true:
            n_true = _count(tables, f"{TRUTH}{name}s", true[name], labels)
            theirs[name] = by_size(true[name], n_true)
        if name in found:
            n = _count(tables, f"{name}s", found[name])
            both = name in theirs and len(labels) == len(found[name])
            ours[name] = (
                paired(found[name], labels, theirs[name], n) if both else by_size(found[name], n)
            )
    return ours, theirs


def _count(tables: Tables, table: str, *ids: Array) -> int:
    """Rows of a table, or what the voxels speak of where there is no such table."""
    return max([_rows(tables.get(table, {})), *(int(i.max()) + 1 for i in ids if len(i))])


def _rows(table: Table) -> int:
    return len(next(iter(table.values()), ()))


def _partners(tables: Tables, found: Mapping[str, Array], side: str, other: str) -> Array:
    """(P,) particle of the other side, from the matches or from the voxels; empty without any."""
    particles, others = tables.get(f"{side}particles", {}), tables.get(f"{other}particles", {})
    if "match" in particles:
        return particles["match"]
    ids, other_ids = found.get(f"{side}particle"), found.get(f"{other}particle")
    if ids is None or other_ids is None:
        return NO_ROWS
    return best_partners(ids, other_ids, _rows(particles), _rows(others))


def _side(
    tables: Tables, prefix: str, voxels: Cloud, slots: Mapping[str, Array], partner: Array
) -> Side:
    particles = tables.get(f"{prefix}particles", {})
    interactions = tables.get(f"{prefix}interactions", {})
    ids = voxels.labels.get("particle", NO_ROWS)
    n_voxels = np.bincount(ids[ids >= 0], minlength=_rows(particles))
    seen = (n_voxels > 0) & (particles.get("semantic", n_voxels) != Semantic.LOW_ENERGY)
    return Side(
        voxels=voxels,
        points=_points({} if prefix else tables.get("points", {})),
        starts=_starts(particles, seen),
        vertices=_vertices(interactions, _interactions_of(particles, seen)),
        particles=particle_facts(particles),
        interactions=interaction_facts(interactions),
        n_voxels=n_voxels,
        partner=partner,
        slots=slots,
    )


def _interactions_of(particles: Table, seen: Array) -> Array:
    return np.unique(particles["interaction"][seen]) if "interaction" in particles else NO_ROWS


def _points(points: Table) -> Points:
    none = np.empty(0, np.float32)
    position = points.get("position", np.empty((0, 3), np.float32))
    return Points(position, points.get("type", none), points.get("score", none))


def _starts(particles: Table, seen: Array) -> Starts:
    if "start" not in particles:
        return Starts(np.empty((0, 3)), np.empty((0, 3)), NO_ROWS)
    start, direction = particles["start"], particles["direction"]
    row = np.flatnonzero(seen & np.isfinite(start).all(axis=1))
    return Starts(start[row], direction[row], row)


def _vertices(interactions: Table, seen: Array) -> Vertices:
    if "vertex" not in interactions:
        return Vertices(np.empty((0, 3)), np.empty((0, 3, 3)), NO_ROWS)
    vertex = interactions["vertex"]
    unknown = np.full((len(vertex), 3, 3), np.nan)
    row = seen[seen >= 0]
    row = row[np.isfinite(vertex[row]).all(axis=1)]
    return Vertices(vertex[row], interactions.get("vertex_cov", unknown)[row], row)


def _title(events: Table) -> str:
    names = [name for name in ("run", "subrun", "event") if name in events and events[name][0] >= 0]
    return " · ".join(f"{name} {events[name][0]}" for name in names)


def _note(events: Table) -> str:
    if "status" not in events or events["status"][0] == Status.OK:
        return ""
    message = events["message"][0].decode("utf-8", "replace")
    return f"{Status(int(events['status'][0])).name.lower()}: {message}"
