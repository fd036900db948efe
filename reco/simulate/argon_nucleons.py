"""Nucleon-argon cross sections of Barashenkov, Glauber and Gribov, out of Geant4's own code.

The parametrisation is compiled into the wheel of geant4-pybind but not bound to Python: it is
called through ctypes, by the C++ names of its symbols. Only `reco.simulate.argon_data` needs it.
V. S. Barashenkov, Cross sections of particle-nucleus interactions, JINR (1993); V. M. Grichine,
Eur. Phys. J. C 62 (2009) 399.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from reco.simulate.argon_formulas import Z
from reco.simulate.library import load

_OBJECT_SIZE = 8192  # bytes, well above any of the classes made here
_BARN = 1e-22  # Geant4 counts areas in mm2

CrossSection = Callable[[float], float]


def neutron_cross_sections() -> tuple[CrossSection, CrossSection]:
    """Inelastic and elastic neutron-argon cross sections: MeV -> barn.

    Sets Geant4 up with no more than electrons and argon: the process cannot simulate afterwards.
    """
    g4 = load()
    library = _Library(str(g4.__file__), keep=_minimal_run_manager(g4))
    return library.nucleon("G4BGGNucleonInelasticXS"), library.nucleon("G4BGGNucleonElasticXS")


class _Library:
    """The shared object with Geant4's code; keep: what must live as long as it is used."""

    def __init__(self, path: str, keep: Any) -> None:
        self._library = ctypes.CDLL(path)
        self._kept = keep
        self._neutron = self._function("_ZN9G4Neutron7NeutronEv", ctypes.c_void_p)()

    def nucleon(self, cls: str) -> CrossSection:
        """The cross section of neutrons on argon that an object of this C++ class knows."""
        prefix = f"_ZN{len(cls)}{cls}"
        pointer, number = ctypes.c_void_p, ctypes.c_double
        # Geant4 registers the object and deletes it at its end: it must come from operator new.
        made = self._function("_Znwm", pointer, ctypes.c_size_t)(_OBJECT_SIZE)
        for name in ("C1EPK20G4ParticleDefinition", "17BuildPhysicsTableERK20G4ParticleDefinition"):
            self._function(prefix + name, None, pointer, pointer)(made, self._neutron)
        value = self._function(
            f"{prefix}22GetElementCrossSectionEPK17G4DynamicParticleiPK10G4Material",
            number, pointer, pointer, ctypes.c_int, pointer,
        )  # fmt: skip

        def cross_section(energy: float) -> float:
            return float(value(made, self._moving_neutron(energy), Z, None)) / _BARN

        return cross_section

    def _moving_neutron(self, energy: float) -> Any:
        """A G4DynamicParticle, as a buffer that owns no memory beyond its own."""
        pointer = ctypes.c_void_p
        make = self._function(
            "_ZN17G4DynamicParticleC1EPK20G4ParticleDefinitionRKN5CLHEP10Hep3VectorEd",
            None, pointer, pointer, pointer, ctypes.c_double,
        )  # fmt: skip
        particle, direction = (
            ctypes.create_string_buffer(_OBJECT_SIZE),
            (ctypes.c_double * 3)(0, 0, 1),
        )
        make(particle, self._neutron, direction, energy)
        return particle

    def _function(self, symbol: str, result: Any, *arguments: Any) -> Any:
        function = getattr(self._library, symbol)
        function.restype, function.argtypes = result, arguments
        return function


def _minimal_run_manager(g4: Any) -> Any:
    class Detector(g4.G4VUserDetectorConstruction):
        def Construct(self) -> Any:
            argon = g4.G4NistManager.Instance().FindOrBuildMaterial("G4_lAr")
            self.box = g4.G4Box("world", 100.0, 100.0, 100.0)
            self.volume = g4.G4LogicalVolume(self.box, argon, "world")
            return g4.G4PVPlacement(None, g4.G4ThreeVector(), self.volume, "world", None, False, 0)

    class Physics(g4.G4VModularPhysicsList):
        def __init__(self) -> None:
            super().__init__()
            self.parts = g4.G4EmStandardPhysics(), g4.G4DecayPhysics()
            for part in self.parts:
                self.RegisterPhysics(part)

    class Source(g4.G4VUserPrimaryGeneratorAction):
        def GeneratePrimaries(self, event: Any) -> None:
            pass

    class Actions(g4.G4VUserActionInitialization):
        def Build(self) -> None:
            self.source = Source()
            self.SetUserAction(self.source)

    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
    parts = Detector(), Physics(), Actions()
    for part in parts:
        manager.SetUserInitialization(part)
    manager.Initialize()
    return manager, parts
