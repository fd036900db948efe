"""The classes of the field: semantic class of a voxel, identity of a particle, event status."""

from enum import IntEnum


class Semantic(IntEnum):
    """Class of a voxel, in the order of the field's label maker (Supera)."""

    UNKNOWN = -1
    SHOWER = 0
    TRACK = 1
    MICHEL = 2
    DELTA = 3
    LOW_ENERGY = 4


N_SEMANTIC = 5

SEMANTIC_PRECEDENCE = (
    Semantic.TRACK,
    Semantic.MICHEL,
    Semantic.SHOWER,
    Semantic.DELTA,
    Semantic.LOW_ENERGY,
)
"""Which class a voxel has that was hit by several, first wins."""


class PID(IntEnum):
    """Identity of a particle."""

    UNKNOWN = -1
    PHOTON = 0
    ELECTRON = 1
    MUON = 2
    PION = 3
    PROTON = 4
    KAON = 5


N_PID = 6

PID_OF_PDG = {22: 0, 11: 1, 13: 2, 211: 3, 2212: 4, 321: 5}
"""|PDG code| -> PID; anything else is UNKNOWN."""


class Status(IntEnum):
    """What became of an event."""

    OK = 0
    EMPTY = 1
    FAILED = 2
