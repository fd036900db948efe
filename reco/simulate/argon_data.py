"""Write the data directory that Geant4 11.4 needs for a world of pure argon.

    python -m reco.simulate.argon_data DIRECTORY [--archive argon.tar.xz]

Nothing of it comes from Geant4's data sets. Files of other elements are opened when Geant4 starts
and hold placeholders, never used where all is argon; X-rays, level schemes and radioactive decays
are left out.
"""

import argparse
import math
import os
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from reco.data.ragged import Array
from reco.errors import ConfigError
from reco.simulate import argon_formulas as argon
from reco.simulate.argon_nucleons import neutron_cross_sections
from reco.simulate.library import DATA_VARIABLE

Formula = Callable[[float], float]

_BARN = 1e-22  # Geant4 counts areas in mm2
_PARAMETRISED = 14.0  # MeV; above it neutrons get the cross sections in Geant4's own code
_LAST_ELEMENT = 95

_NUCLIDES = (
    (1, 1, -1, 1), (1, 2, -1, 2), (1, 3, 5.6e17, 1), (2, 3, -1, 1), (2, 4, -1, 0),
    (18, 36, -1, 0), (18, 38, -1, 0), (18, 39, 1.2e19, 7), (18, 40, -1, 0),
    (17, 40, 1.17e11, 4), (17, 39, 4.8e12, 3),
)  # fmt: skip
"""Ground states: Z, A, mean life (ns, -1: stable), twice the spin."""


def write(directory: Path) -> None:
    """Fill the directory. Sets Geant4 up on the way, for a part of the neutron tables."""
    write_bremsstrahlung(directory / "G4EMLOW8.8" / "brem_SB" / "br18")
    for source, photo in (("epics2017", "phot"), ("livermore", "phot_epics2014")):
        write_photoeffect(directory / "G4EMLOW8.8" / source / photo)
        write_rayleigh(directory / "G4EMLOW8.8" / source / "rayl" / "re-cs-18.dat")
    write_placeholders(directory / "G4PARTICLEXS4.2")
    write_nuclides(directory / "G4ENSDFSTATE3.0" / "ENSDFSTATE.dat")
    for name in ("PhotonEvaporation6.1.2", "RadioactiveDecay6.1.2"):
        _write(directory / name / "README", ["empty"])
    os.environ[DATA_VARIABLE] = str(directory)
    write_nuclear(directory / "G4PARTICLEXS4.2")


def pack(directory: Path, archive: Path) -> None:
    """The directory as a compressed archive, the same bytes for the same files."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = ""
        entry.mode = 0o755 if entry.isdir() else 0o644
        return entry

    with tarfile.open(archive, "w:xz", preset=9) as files:
        for path in sorted(directory.iterdir()):
            files.add(path, path.name, filter=anonymous)


def write_bremsstrahlung(path: Path) -> None:
    """Spectra in the format of Seltzer and Berger: a row per energy, a column per fraction."""
    mantissas = (1, 1.5, 2, 3, 4, 5, 6, 8)
    kinetic = [m * 10.0**decade for decade in range(-3, 4) for m in mantissas] + [1e4]
    ends = (0.925, 0.95, 0.97, 0.99, 0.995, 0.999, 0.9995, 0.9999, 0.99995, 0.99999, 1.0)
    fractions = [*np.arange(0, 0.901, 0.05), *ends]
    lines = [
        f"0 {len(fractions)} {len(kinetic)}",
        _row(fractions),
        _row([math.log(energy) for energy in kinetic], digits=9),
    ]
    lines += [
        _row([argon.bremsstrahlung(max(fraction, 1e-9), energy) for fraction in fractions])
        for energy in kinetic
    ]
    _write(path, lines)


def write_photoeffect(folder: Path) -> None:
    """A table of E^3 times the cross section (MeV, barn), and a fit of one shell above it."""
    lowest, *edges = (row[0] for row in argon.PHOTOEFFECT)
    below, at = np.array(edges) * (1 - 1e-6), np.array(edges)
    energies = np.unique(np.concatenate([np.geomspace(lowest, edges[-1], 400), below, at]))
    rows = [(e * 1e-3, (e * 1e-3) ** 3 * argon.photoeffect(e)) for e in energies]
    _write_table(folder / "pe-cs-18.dat", rows, digits=9)
    fit = [
        argon.barn_per_atom(c) * 1e-3**n
        for n, c in enumerate(argon.PHOTOEFFECT[-1][1:], start=1)
    ]  # fmt: skip
    lines = [f"1 1 {edges[-1] * 1e-3:.8g}", f"{lowest * 1e-3:.8g} {_row([*fit, 0, 0], digits=9)}"]
    for name in ("pe-high-18.dat", "pe-low-18.dat"):
        _write(folder / name, lines)


def write_rayleigh(path: Path) -> None:
    """None: it leaves no energy."""
    _write_table(path, [(energy, 1e-30) for energy in np.geomspace(1e-5, 1e5, 11)])


def write_nuclides(path: Path) -> None:
    _write(path, [f"{z} {a} 0 - {life:g} {spin} 0" for z, a, life, spin in _NUCLIDES])


def write_placeholders(folder: Path) -> None:
    """Files of the other elements: Geant4 opens them all, and uses none in argon."""
    for z in range(1, _LAST_ELEMENT + 1):
        if z == argon.Z:
            continue
        for name, low, high in (("inel", 1e-3, 2e4), ("el", 1e-11, 2e4), ("cap", 1e-11, 20.0)):
            rows = [(energy, _BARN) for energy in np.geomspace(low, high, 4)]
            _write_table(folder / "neutron" / f"{name}{z}", rows)
        rows = [(energy, _BARN) for energy in np.linspace(0, 130, 4)]
        _write_table(folder / "gamma" / f"inel{z}", rows)


def write_nuclear(folder: Path) -> None:
    """Neutrons and photons on argon nuclei."""
    inelastic, elastic = neutron_cross_sections()
    high = inelastic(_PARAMETRISED)

    def blended(energy: float) -> float:
        weight = min(max((energy - 6) / (_PARAMETRISED - 6), 0), 1)
        return (1 - weight) * argon.neutron_inelastic(energy) + weight * high

    tables: list[tuple[str, Formula, Array]] = [
        ("neutron/inel18", _join(blended, inelastic), np.geomspace(1e-3, 2e4, 400)),
        ("neutron/el18", _join(argon.neutron_elastic, elastic), np.geomspace(1e-11, 2e4, 500)),
        ("neutron/cap18", argon.neutron_capture, np.geomspace(1e-11, 20, 300)),
        ("gamma/inel18", argon.photonuclear, np.linspace(0, 130, 131)),
    ]
    for name, formula, energies in tables:
        _write_table(folder / name, [(energy, _BARN * formula(energy)) for energy in energies])


def _join(below: Formula, above: Formula) -> Formula:
    return lambda energy: (above if energy >= _PARAMETRISED else below)(energy)


def _write_table(path: Path, rows: list[tuple[float, float]], digits: int = 6) -> None:
    """Geant4's format of a curve: first and last abscissa, the number of points twice, points."""
    head = f"{rows[0][0]:.10g} {rows[-1][0]:.10g} {len(rows)}"
    points = (f"{x:.10g} {y:.{digits}g}" for x, y in rows)
    _write(path, [head, str(len(rows)), *points])


def _row(values: Iterable[float], digits: int = 6) -> str:
    return " ".join(f"{value:.{digits}g}" for value in values)


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("directory", type=Path, help="to fill; new or empty")
    parser.add_argument("--archive", type=Path, help="pack it into this file as well")
    arguments = parser.parse_args()
    if arguments.directory.exists() and any(arguments.directory.iterdir()):
        raise ConfigError(f"{arguments.directory} is not empty")
    write(arguments.directory)
    if arguments.archive:
        pack(arguments.directory, arguments.archive)


if __name__ == "__main__":
    main()
