"""Which branch of a user's file plays which role, and in which units."""

from dataclasses import dataclass
from typing import Literal

from reco.data.products import Quantity

LENGTH = {"cm": 1.0, "mm": 0.1, "m": 100.0}
TIME = {"us": 1.0, "ns": 1e-3, "ms": 1e3, "s": 1e6}
ENERGY = {"MeV": 1.0, "GeV": 1e3, "keV": 1e-3}
CHARGE = {"ke": 1.0, "e": 1e-3}


@dataclass(frozen=True)
class Branches:
    """Names of branches (ROOT) or columns (HDF5), and the units they are in.

    tree: tree (ROOT) or group or dataset (HDF5) with the hits; product such as
    `cluster3d_pcluster` in larcv files. None: the only one that has the branches.
    x, y, z, t: of each hit; without a branch named t the time is 0.
    charge, energy: the value of a hit; give one of them. None of them: the first of `charge`
    and `energy` that the file has.
    run, subrun, event: the file's own numbers, -1 where the file has none.
    offsets: HDF5 only, dataset of E + 1 row numbers that cuts the rows into events.
    semantic, fragment, particle, true_energy: truth of each hit; true_energy is needed when the
    value is a charge. detectors: sensitive detectors of an edep-sim file; empty: all of them.
    length_unit, time_unit, energy_unit, charge_unit: of the file. None: what the format says
    (flat files: cm, us, MeV, thousands of electrons). Raises ValueError for both values.
    """

    tree: str | None = None
    x: str = "x"
    y: str = "y"
    z: str = "z"
    t: str | None = None
    charge: str | None = None
    energy: str | None = None
    run: str | None = None
    subrun: str | None = None
    event: str | None = None
    offsets: str | None = None
    semantic: str | None = None
    fragment: str | None = None
    particle: str | None = None
    true_energy: str | None = None
    detectors: tuple[str, ...] = ()
    length_unit: Literal["cm", "mm", "m"] | None = None
    time_unit: Literal["us", "ns", "ms", "s"] | None = None
    energy_unit: Literal["MeV", "GeV", "keV"] | None = None
    charge_unit: Literal["ke", "e"] | None = None

    def __post_init__(self) -> None:
        if self.charge is not None and self.energy is not None:
            raise ValueError(
                f"charge is {self.charge!r} and energy is {self.energy!r}: a hit has one value, "
                "name one of them (the other is null)"
            )

    @property
    def length(self) -> float:
        """Factor to cm."""
        return LENGTH[self.length_unit or "cm"]

    @property
    def time(self) -> float:
        """Factor to µs."""
        return TIME[self.time_unit or "us"]

    def scale(self, quantity: Quantity) -> float:
        """Factor to MeV or to thousands of electrons."""
        if quantity is Quantity.ENERGY:
            return ENERGY[self.energy_unit or "MeV"]
        return CHARGE[self.charge_unit or "ke"]

    def value_unit(self, quantity: Quantity) -> str:
        """The unit of the value of a hit, for people."""
        if quantity is Quantity.ENERGY:
            return f"energy {_said(self.energy_unit, 'MeV')}"
        return f"charge {_said(self.charge_unit, 'ke')}"

    def units(self, quantity: Quantity) -> str:
        """All units of a file that says none itself, for people."""
        length, time = _said(self.length_unit, "cm"), _said(self.time_unit, "us")
        return f"length {length}, time {time}, {self.value_unit(quantity)}"

    def values(self) -> tuple[tuple[str, Quantity], ...]:
        """Branches that may hold the value of a hit, first to be tried first."""
        if self.charge is None and self.energy is None:
            return (("charge", Quantity.CHARGE), ("energy", Quantity.ENERGY))
        if self.charge is not None:
            return ((self.charge, Quantity.CHARGE),)
        return ((str(self.energy), Quantity.ENERGY),)


def _said(unit: str | None, otherwise: str) -> str:
    return unit or f"{otherwise} (by default)"
