"""The typed products of the chain, in the order in which an event meets them.

Shapes: E events; per event N hits or voxels, M points, F fragments, P particles, I interactions.
Numbers such as `particle` are rows of that table within the same event; -1 means none.
"""

from dataclasses import dataclass
from enum import IntEnum

from reco.data.product import EVENTS, Product, column
from reco.data.ragged import Array, Ragged

MESSAGE_LENGTH = 400
"""Bytes kept of an event's message."""


class Quantity(IntEnum):
    """What the value of a hit is."""

    ENERGY = 0
    """Deposited energy, MeV."""
    CHARGE = 1
    """Ionisation electrons that reached the readout, thousands."""


@dataclass(frozen=True)
class Header(Product):
    """The file's own numbers of each event."""

    run: Array = column(EVENTS, "run", "i8")
    subrun: Array = column(EVENTS, "subrun", "i8")
    event: Array = column(EVENTS, "event", "i8")
    entry: Array = column(EVENTS, "entry", "i8", doc="position in the input, from 0")


@dataclass(frozen=True)
class Outcome(Product):
    """What became of each event; filled in by the executor."""

    status: Array = column(EVENTS, "status", "i1", doc="0 ok, 1 empty, 2 failed")
    message: Array = column(EVENTS, "message", f"S{MESSAGE_LENGTH}", doc="why, if not ok")


@dataclass(frozen=True)
class Hits(Product):
    """What the detector (or a simulation) gives: points with a charge or an energy."""

    position: Ragged = column("hits", "x y z", unit="cm")
    value: Ragged = column("hits", "value", doc="MeV or 1000 electrons, see hit_quantity")
    time: Ragged = column("hits", "t", unit="us")
    quantity: Array = column(EVENTS, "hit_quantity", "i1", doc="0 energy, 1 charge")


@dataclass(frozen=True)
class TruthDeposits(Product):
    """True energy deposits, labelled. Positions need not be those of the hits."""

    position: Ragged = column("truth_deposits", "x y z", unit="cm")
    energy: Ragged = column("truth_deposits", "energy", unit="MeV")
    semantic: Ragged = column("truth_deposits", "semantic", "i1")
    fragment: Ragged = column("truth_deposits", "fragment", "i4")
    particle: Ragged = column("truth_deposits", "particle", "i4", doc="row of truth_particles")


@dataclass(frozen=True)
class TruthParticles(Product):
    """True particles: one track, or one shower with all its fragments."""

    pid: Ragged = column("truth_particles", "pid", "i1", doc="0 γ 1 e 2 μ 3 π 4 p 5 K, -1 other")
    pdg: Ragged = column("truth_particles", "pdg", "i4")
    semantic: Ragged = column("truth_particles", "semantic", "i1")
    interaction: Ragged = column("truth_particles", "interaction", "i4")
    parent: Ragged = column("truth_particles", "parent", "i4", doc="row of truth_particles")
    is_primary: Ragged = column("truth_particles", "is_primary", "?", doc="from the vertex itself")
    start: Ragged = column("truth_particles", "start_x start_y start_z", unit="cm")
    end: Ragged = column("truth_particles", "end_x end_y end_z", unit="cm")
    direction: Ragged = column("truth_particles", "direction_x direction_y direction_z")
    energy: Ragged = column("truth_particles", "energy", unit="MeV", doc="initial kinetic energy")
    energy_deposit: Ragged = column("truth_particles", "energy_deposit", unit="MeV")
    length: Ragged = column("truth_particles", "length", unit="cm", doc="path of a track")
    time: Ragged = column("truth_particles", "t", unit="us")
    contained: Ragged = column("truth_particles", "contained", "?")


@dataclass(frozen=True)
class TruthInteractions(Product):
    """True interactions: all that comes from one primary vertex."""

    vertex: Ragged = column("truth_interactions", "vertex_x vertex_y vertex_z", unit="cm")
    energy: Ragged = column(
        "truth_interactions", "energy", unit="MeV", doc="kinetic energy of its visible primaries"
    )
    pdg: Ragged = column("truth_interactions", "pdg", "i4", doc="of the neutrino; 0: none")
    n_particles: Ragged = column("truth_interactions", "n_particles", "i4")
    topology: Ragged = column("truth_interactions", "topology", "S32", doc="such as 1mu1p")
    contained: Ragged = column("truth_interactions", "contained", "?")


@dataclass(frozen=True)
class Voxels(Product):
    """Calibrated energy on the grid of the detector; rows sorted by index, each index once."""

    index: Ragged = column("voxels", "i j k", "i4", doc="position on the grid", internal=True)
    position: Ragged = column("voxels", "x y z", unit="cm", doc="centre of the voxel")
    energy: Ragged = column("voxels", "energy", unit="MeV")
    n_hits: Array = column(EVENTS, "n_hits", "i8")
    n_hits_outside: Array = column(EVENTS, "n_hits_outside", "i8", doc="outside every volume")


TRUTH: tuple[type[Product], ...] = (TruthDeposits, TruthParticles, TruthInteractions)
"""What an input with truth gives."""


@dataclass(frozen=True)
class TruthVoxels(Product):
    """True deposits on the grid of the detector; rows sorted by index, each index once."""

    index: Ragged = column("truth_voxels", "i j k", "i4", internal=True)
    position: Ragged = column("truth_voxels", "x y z", unit="cm")
    energy: Ragged = column(
        "truth_voxels", "energy", unit="MeV", doc="NaN where the file does not tell"
    )
    semantic: Ragged = column("truth_voxels", "semantic", "i1")
    fragment: Ragged = column("truth_voxels", "fragment", "i4")
    particle: Ragged = column("truth_voxels", "particle", "i4")
    interaction: Ragged = column("truth_voxels", "interaction", "i4")


@dataclass(frozen=True)
class VoxelLabels(Product):
    """Truth on the reconstructed voxels; -1 where no true deposit lies."""

    semantic: Ragged = column("voxels", "truth_semantic", "i1")
    fragment: Ragged = column("voxels", "truth_fragment", "i4")
    particle: Ragged = column("voxels", "truth_particle", "i4")
    interaction: Ragged = column("voxels", "truth_interaction", "i4")


@dataclass(frozen=True)
class Semantics(Product):
    """What each voxel is, and the backbone's features for the stages below."""

    scores: Ragged = column(
        "voxels", "semantic_scores", shape=(5,), doc="sum to 1, within 0.001", stored="f2"
    )
    semantic: Ragged = column("voxels", "semantic", "i1", doc="0 shower 1 track 2 Michel 3 δ 4 LE")
    features: Ragged = column("voxels", "features", "f2", shape=(-1,), internal=True)
    point_score: Ragged = column(
        "voxels", "point_score", "f2", doc="that a point of interest is near", internal=True
    )
    point_offset: Ragged = column(
        "voxels", "point_offset", "f2", shape=(3,), unit="voxel", doc="to that point", internal=True
    )
    point_type: Ragged = column("voxels", "point_type", "i1", doc="of that point", internal=True)
    affinity: Ragged = column(
        "voxels",
        "affinity",
        "f2",
        shape=(13,),
        doc="that the neighbour at OFFSETS[:13] of ops.neighbours is of the same fragment",
        internal=True,
    )


@dataclass(frozen=True)
class Points(Product):
    """Points of interest: ends of tracks, starts of showers."""

    position: Ragged = column("points", "x y z", unit="cm")
    type: Ragged = column("points", "type", "i1", doc="semantic class of its particle")
    score: Ragged = column("points", "score")


@dataclass(frozen=True)
class Fragments(Product):
    """Dense clusters of voxels of one class."""

    voxel_fragment: Ragged = column("voxels", "fragment", "i4")
    semantic: Ragged = column("fragments", "semantic", "i1")
    n_voxels: Ragged = column("fragments", "n_voxels", "i4")


@dataclass(frozen=True)
class Particles(Product):
    """Fragments grouped into particles."""

    voxel_particle: Ragged = column("voxels", "particle", "i4")
    fragment_particle: Ragged = column("fragments", "particle", "i4")
    fragment_primary_score: Ragged = column(
        "fragments", "primary_score", doc="that a shower starts with this fragment"
    )
    id: Ragged = column("particles", "id", "i4")
    semantic: Ragged = column("particles", "semantic", "i1")
    n_voxels: Ragged = column("particles", "n_voxels", "i4")


@dataclass(frozen=True)
class Kinematics(Product):
    """What geometry and charge alone say of a particle, whatever it is."""

    start: Ragged = column(
        "particles", "start_x start_y start_z", unit="cm", doc="NaN where it has no voxel"
    )
    end: Ragged = column(
        "particles", "end_x end_y end_z", unit="cm", doc="NaN where it has no voxel"
    )
    direction: Ragged = column("particles", "direction_x direction_y direction_z")
    length: Ragged = column("particles", "length", unit="cm")
    start_dedx: Ragged = column("particles", "start_dedx", unit="MeV/cm")
    energy_calo: Ragged = column("particles", "energy_calo", unit="MeV")
    energy_mcs: Ragged = column(
        "particles", "energy_mcs", unit="MeV", doc="muon hypothesis; NaN where too short"
    )
    energy_csda: Ragged = column(
        "particles",
        "energy_csda",
        shape=(4,),
        unit="MeV",
        doc="μ π p K; NaN: none",
        internal=True,
    )
    contained: Ragged = column("particles", "contained", "?")


@dataclass(frozen=True)
class Interactions(Product):
    """Particles grouped into interactions, and what each particle is."""

    voxel_interaction: Ragged = column("voxels", "interaction", "i4")
    particle_interaction: Ragged = column("particles", "interaction", "i4")
    pid: Ragged = column("particles", "pid", "i1", doc="0 γ 1 e 2 μ 3 π 4 p 5 K")
    pid_scores: Ragged = column("particles", "pid_scores", shape=(6,), doc="sum to 1")
    is_primary: Ragged = column("particles", "is_primary", "?")
    primary_score: Ragged = column("particles", "primary_score")
    id: Ragged = column("interactions", "id", "i4")
    n_particles: Ragged = column("interactions", "n_particles", "i4")


@dataclass(frozen=True)
class Estimates(Product):
    """Vertex and energies with their uncertainties."""

    energy: Ragged = column("particles", "energy", unit="MeV", doc="initial kinetic energy")
    energy_sigma: Ragged = column("particles", "energy_sigma", unit="MeV")
    vertex: Ragged = column(
        "interactions", "vertex_x vertex_y vertex_z", unit="cm", doc="NaN where nothing tells"
    )
    vertex_cov: Ragged = column(
        "interactions", "vertex_cov", shape=(3, 3), unit="cm2", doc="NaN where nothing tells"
    )
    interaction_energy: Ragged = column(
        "interactions", "energy", unit="MeV", doc="kinetic energy of its visible primaries"
    )
    interaction_energy_sigma: Ragged = column("interactions", "energy_sigma", unit="MeV")
    energy_tail: Ragged = column(
        "particles", "energy_tail", doc="95 % lie within 1.96 times this times the sigma"
    )
    vertex_tail: Ragged = column("interactions", "vertex_tail", doc="likewise, of each coordinate")
    interaction_energy_tail: Ragged = column("interactions", "energy_tail")


@dataclass(frozen=True)
class Physics(Product):
    """Quantities that need the identity of the particles."""

    energy_range: Ragged = column(
        "particles", "energy_range", unit="MeV", doc="CSDA, for its pid; NaN for showers"
    )
    topology: Ragged = column(
        "interactions", "topology", "S32", doc="such as 1mu1p; empty: no primary"
    )
    contained: Ragged = column("interactions", "contained", "?")


@dataclass(frozen=True)
class Matches(Product):
    """Best partner by overlap of voxels (intersection over union), both ways; -1: none."""

    particle: Ragged = column("particles", "match", "i4", doc="row of truth_particles")
    particle_iou: Ragged = column("particles", "match_iou")
    truth_particle: Ragged = column("truth_particles", "match", "i4", doc="row of particles")
    truth_particle_iou: Ragged = column("truth_particles", "match_iou")
    interaction: Ragged = column("interactions", "match", "i4", doc="row of truth_interactions")
    interaction_iou: Ragged = column("interactions", "match_iou")
    truth_interaction: Ragged = column("truth_interactions", "match", "i4")
    truth_interaction_iou: Ragged = column("truth_interactions", "match_iou")
