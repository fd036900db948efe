"""Particles and interactions, of the reconstruction and of the truth, as objects."""

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

import awkward as ak
import numpy as np

from reco.data.ragged import Array
from reco.display.facts import Facts, interaction_facts, particle_facts
from reco.display.words import html_table, text_table
from reco.errors import InputError, RecoError
from reco.event.arrays import AXES, Row, table
from reco.io.store import PRODUCTS

if TYPE_CHECKING:
    from reco.event.event import Event

EVENT = "@event"
"""Attribute of the tables of an event: the event. What begins with @ is not pickled."""
TRUTH = "truth_"
MASS = np.array([0.0, 0.51099895, 105.6583755, 139.57039, 938.27208816, 493.677, np.nan])
"""MeV, by PID (PDG 2024); the last is that of -1, unknown."""


class Object(Row):
    """Particles or interactions, or one of them: awkward records, which know their event.

    They do so as rows of a table of an event, however selected; not as rows of several events.
    """

    table: ClassVar[str]
    """That of the event in which they stand."""
    kind: ClassVar[str]
    """`particle` or `interaction`: by which other tables name the row."""
    _facts_of: ClassVar[Any]

    @property
    def event(self: Any) -> "Event":
        """The event. Raises InputError for rows of several events."""
        event = (self.attrs or {}).get(EVENT)
        if event is None:
            raise InputError(
                f"these rows do not know their event: start from one, such as f[3].{self.table}"
            )
        return cast("Event", event)

    @property
    def voxels(self: Any) -> ak.Array:
        """Rows of `voxels` (`truth_voxels` for the truth) that belong to it, or to any of them."""
        return _belonging(self, "voxels")

    @property
    def partner(self: Any) -> Any:
        """The best match by overlap of voxels on the other side, truth or reconstruction.

        None where there is none; of many rows, an array as long. Raises InputError where the event
        has no truth.
        """
        mirror = self.table.removeprefix(TRUTH)
        others = mirror if mirror != self.table else TRUTH + self.table
        return _same(self, partners(_rows(self), self.event.table(others)))

    @property
    def facts(self: Any) -> Facts:
        """Its numbers as text: heading -> a text for each row."""
        some = _rows(self)
        columns = {name: _plain(some[name]) for name in some.fields}
        return {"": tuple(map(str, some.id)), **self._facts_of(columns)}

    def __repr__(self: Any) -> str:
        if not _is_plain(self):
            return str(ak.Array.__repr__(self))
        if isinstance(self, ak.Array):
            return text_table(self.facts) if len(self) else f"no {self.table}"
        number, *told = (f"{name} {cells[0]}" for name, cells in self.facts.items())
        return f"<{self.kind}{number}: {', '.join(told)}>"

    __str__ = __repr__

    def _repr_mimebundle_(self: Any, include: Any = None, exclude: Any = None) -> dict[str, str]:
        if not _is_plain(self):
            return dict(ak.Array._repr_mimebundle_(self, include, exclude))
        facts = self.facts
        if isinstance(self, ak.Record):
            facts = {"": tuple(facts), self.kind: tuple(cells[0] for cells in facts.values())}
        html = html_table(facts, self.table.replace("_", " "))
        return {"text/plain": repr(self), "text/html": html}


class _AnyParticle(Object):
    kind = "particle"
    _facts_of = staticmethod(particle_facts)

    @property
    def mass(self: Any) -> Any:
        """MeV, of its `pid`; NaN where that is unknown."""
        return _same(self, ak.transform(_masses, _rows(self).pid))

    @property
    def momentum(self: Any) -> Any:
        """Momentum4D of the package `vector`, MeV: from `energy`, `direction` and `mass`.

        `(a.momentum + b.momentum).mass` is the mass of the pair. Raises RecoError without `vector`.
        """
        return _same(self, _momentum(_rows(self)))


class _AnyInteraction(Object):
    kind = "interaction"
    _facts_of = staticmethod(interaction_facts)

    @property
    def particles(self: Any) -> ak.Array:
        """The particles that belong to it, or to any of them."""
        return _belonging(self, "particles")


def _of_table(name: str) -> Callable[[type[Object]], type[Object]]:
    """Rows of this table are of the class, whose documentation tells the columns of the table."""

    def register(cls: type[Object]) -> type[Object]:
        fields = "\n".join(f"    {line}" for line in _field_lines(name))
        cls.table, cls.__doc__ = name, f"{cls.__doc__}\n\n    Fields:\n\n{fields}\n"
        return cast(type[Object], ak.mixin_class(ak.behavior, _record_name(cls))(cls))

    return register


def _record_name(cls: type[Object]) -> str:
    return f"reco.{cls.__name__}"


def _field_lines(table: str) -> Iterator[str]:
    for product in PRODUCTS:
        for spec in product.columns().values():
            if spec.table == table and not spec.internal:
                title = spec.name if len(spec.parts) == 1 else spec.parts[0].rpartition("_")[0]
                shape = f" {spec.shape}" if len(spec.parts) == 1 and spec.shape else ""
                unit = f" [{spec.unit}]" if spec.unit else ""
                yield f"{title}{shape}{unit}" + (f": {spec.doc}" if spec.doc else "")


@_of_table("particles")
class Particle(_AnyParticle):
    """Reconstructed particles, or one of them."""


@_of_table("truth_particles")
class TrueParticle(_AnyParticle):
    """True particles, or one of them."""


@_of_table("interactions")
class Interaction(_AnyInteraction):
    """Reconstructed interactions, or one of them."""


@_of_table("truth_interactions")
class TrueInteraction(_AnyInteraction):
    """True interactions, or one of them."""


CLASSES = {cls.table: cls for cls in (Particle, TrueParticle, Interaction, TrueInteraction)}


def rows(
    name: str, columns: Mapping[str, Array], offsets: Array | None, event: "Event | None" = None
) -> ak.Array:
    """A table as awkward records of the class that belongs to its name; see `reco.arrays.table`.

    Rows of truth are numbered, as those of the reconstruction are in their file.
    """
    if name not in CLASSES:
        return table(columns, offsets)
    if "id" not in columns:
        columns = {"id": _numbers(columns, offsets), **columns}
    attrs = None if event is None else {EVENT: event}
    return table(columns, offsets, name=_record_name(CLASSES[name]), attrs=attrs)


def partners(rows: ak.Array, others: ak.Array) -> ak.Array:
    """The best match of each row among the rows of the other side, None where there is none.

    rows: particles or interactions, or a selection of them, of one event or of several. others:
    all of `truth_particles` of the same events, and so on; or the other way round.
    """
    return others[ak.mask(rows.match, rows.match >= 0)]


def _rows(some: ak.Array | ak.Record) -> ak.Array:
    """One row as an array of one; several as they are."""
    if isinstance(some, ak.Array):
        return some
    at = some.layout.at
    alone = some.layout.array[at : at + 1]
    return ak.Array(alone, behavior=some.behavior, attrs=some.attrs)


def _same(some: ak.Array | ak.Record, values: ak.Array) -> Any:
    """Values of `_rows(some)` in the form of `some`."""
    return values if isinstance(some, ak.Array) else values[0]


def _is_plain(some: ak.Array | ak.Record) -> bool:
    """Whether it is one row, or rows of one event that cannot be None."""
    return isinstance(some, ak.Record) or (some.ndim == 1 and not some.layout.is_option)


def _plain(values: ak.Array) -> Array:
    if values.fields:
        return np.stack([ak.to_numpy(values[axis]) for axis in AXES], axis=-1)
    return cast(Array, ak.to_numpy(values))


def _belonging(owner: Any, kind: str) -> ak.Array:
    """Rows of that table, on the same side, that name the owner."""
    prefix = TRUTH if owner.table.startswith(TRUTH) else ""
    found = owner.event.table(prefix + kind)
    numbers = ak.to_numpy(ak.drop_none(_rows(owner)).id)
    return found[np.isin(ak.to_numpy(found[owner.kind]), numbers)]


def _masses(layout: Any, **_: Any) -> Any:
    return ak.contents.NumpyArray(MASS[layout.data]) if layout.is_numpy else None


def _momentum(particles: ak.Array) -> ak.Array:
    if "Momentum4D" not in ak.behavior:
        raise RecoError("vector is not installed: pip install 'lartpc-reco[notebook]'")
    energy = ak.values_astype(particles.energy, np.float64)
    mass = particles.mass
    size = np.sqrt(energy * (energy + 2 * mass))
    parts = {f"p{axis}": size * particles.direction[axis] for axis in AXES}
    return ak.zip({**parts, "E": energy + mass}, with_name="Momentum4D")


def _numbers(columns: Mapping[str, Array], offsets: Array | None) -> Array:
    number = np.arange(len(next(iter(columns.values()), ())), dtype=np.int32)
    if offsets is None:
        return number
    return number - np.repeat(offsets[:-1], np.diff(offsets)).astype(np.int32)
