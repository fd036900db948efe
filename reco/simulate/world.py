"""The world that Geant4 simulates: its geometry, its physics, and the hooks that listen to it.

Geant4's classes exist only once its library is loaded, so that they are derived from in functions;
`g4` is the module geant4_pybind.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from reco.errors import ConfigError
from reco.simulate.primary import Primary
from reco.simulate.recorder import MM, NS, Recorder

Hadronic = Literal["FTFP_BERT", "QGSP_BERT", "QGSP_BIC", "FTF_BIC", "NuBeam"]
Electromagnetic = Literal["option0", "option1", "option2", "option3", "WVI"]


@dataclass(frozen=True)
class Options:
    """The world and its physics.

    side: of the cube whose deposits are kept, centred on the origin, cm. padding: of argon around
    it, cm. max_step: cm. production_cut: range below which no secondary is made, cm.
    neutron_time: after which neutrons are dropped, µs (takes away most captures).
    """

    side: float = 230.4
    padding: float = 50.0
    max_step: float = 0.3
    production_cut: float = 0.07
    neutron_time: float = 10.0
    hadronic: Hadronic = "FTFP_BERT"
    electromagnetic: Electromagnetic = "option0"

    def __post_init__(self) -> None:
        for key in ("side", "max_step", "production_cut", "neutron_time"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"simulation {key} must be above 0, not {getattr(self, key)}")
        if not self.padding >= 0:
            raise ConfigError(f"simulation padding must not be negative: {self.padding}")
        for key, choices in (("hadronic", Hadronic), ("electromagnetic", Electromagnetic)):
            if getattr(self, key) not in get_args(choices):
                raise ConfigError(
                    f"simulation {key} must be one of {', '.join(get_args(choices))}, "
                    f"not {getattr(self, key)!r}"
                )


Shots = list[tuple[Primary, Any]]
"""The primaries of the next event, each with Geant4's definition of its particle."""


def set_up(
    g4: Any, options: Options, shots: Shots, recorder: Recorder
) -> tuple[Any, tuple[Any, ...]]:
    """The run manager, ready for events, and what it does not keep alive by itself."""
    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
    parts = (
        _detector(g4, options, recorder),
        _physics(g4, options),
        _actions(g4, shots, recorder),
    )
    for part in parts:
        manager.SetUserInitialization(part)
    commands = g4.G4UImanager.GetUIpointer()
    for what in ("process/em", "process/had", "process", "run"):
        commands.ApplyCommand(f"/{what}/verbose 0")
    # X-rays of argon range less than a voxel; the data directory has no tables of them.
    commands.ApplyCommand("/process/em/fluo false")
    manager.Initialize()
    manager.BeamOn(0)
    return manager, parts


def _detector(g4: Any, options: Options, recorder: Recorder) -> Any:
    """A cube that records, within a larger one of the same argon that does not."""

    class Detector(g4.G4VUserDetectorConstruction):
        def Construct(self) -> Any:
            argon = g4.G4NistManager.Instance().FindOrBuildMaterial("G4_lAr")
            self.limits = g4.G4UserLimits(options.max_step / MM)
            outer, self.active = (
                self.cube(name, half, argon)
                for name, half in (
                    ("world", options.side / 2 + options.padding),
                    ("active", options.side / 2),
                )
            )
            world = g4.G4PVPlacement(None, g4.G4ThreeVector(), outer, "world", None, False, 0)
            self.inner = g4.G4PVPlacement(
                None, g4.G4ThreeVector(), self.active, "active", outer, False, 0
            )
            return world

        def cube(self, name: str, half: float, material: Any) -> Any:
            box = g4.G4Box(name, half / MM, half / MM, half / MM)
            volume = g4.G4LogicalVolume(box, material, name)
            volume.SetUserLimits(self.limits)
            return volume

        def ConstructSDandField(self) -> None:
            self.sensitive = _sensitive(g4, recorder)
            g4.G4SDManager.GetSDMpointer().AddNewDetector(self.sensitive)
            self.SetSensitiveDetector(self.active, self.sensitive)

    return Detector()


def _sensitive(g4: Any, recorder: Recorder) -> Any:
    """Geant4's hook for the steps in the cube: it runs once per step, nothing is done twice."""
    note = recorder.deposits.extend

    class Active(g4.G4VSensitiveDetector):
        def ProcessHits(self, step: Any, _: Any) -> bool:
            energy = step.GetTotalEnergyDeposit()
            if energy > 0.0:
                before, after = step.GetPreStepPoint(), step.GetPostStepPoint()
                # Geant4 has one step and two points: held, they need not be wrapped again.
                self.held = step, before, after
                a, b = before.GetPosition(), after.GetPosition()
                note((a.x, a.y, a.z, b.x, b.y, b.z, energy, after.GetGlobalTime()))
            return True

    return Active("active")


def _physics(g4: Any, options: Options) -> Any:
    electromagnetic = {"option0": "", "WVI": "WVI"}.get(
        options.electromagnetic, f"_{options.electromagnetic}"
    )
    names = (
        f"G4EmStandardPhysics{electromagnetic}",
        "G4DecayPhysics",
        "G4HadronElasticPhysics",
        f"G4HadronPhysics{options.hadronic}",
        "G4StoppingPhysics",
        "G4EmExtraPhysics",
        "G4StepLimiterPhysics",
        "G4NeutronTrackingCut",
    )

    class Physics(g4.G4VModularPhysicsList):
        def __init__(self) -> None:
            super().__init__()
            self.parts = [getattr(g4, name)() for name in names]
            self.parts[-1].SetTimeLimit(options.neutron_time / NS)
            for part in self.parts:
                self.RegisterPhysics(part)
            self.SetDefaultCutValue(options.production_cut / MM)

    return Physics()


def _source(g4: Any, shots: Shots) -> Any:
    class Source(g4.G4VUserPrimaryGeneratorAction):
        def __init__(self) -> None:
            super().__init__()
            self.gun = g4.G4ParticleGun(1)

        def GeneratePrimaries(self, event: Any) -> None:
            gun = self.gun
            for primary, definition in shots:
                gun.SetParticleDefinition(definition)
                gun.SetParticleEnergy(float(primary.kinetic_energy))
                gun.SetParticlePosition(g4.G4ThreeVector(*(x / MM for x in primary.position)))
                gun.SetParticleMomentumDirection(g4.G4ThreeVector(*primary.unit_direction))
                gun.SetParticleTime(primary.time / NS)
                gun.GeneratePrimaryVertex(event)

    return Source()


def _actions(g4: Any, shots: Shots, recorder: Recorder) -> Any:
    class Tracking(g4.G4UserTrackingAction):
        def PostUserTrackingAction(self, track: Any) -> None:
            recorder.track(track)

    class Actions(g4.G4VUserActionInitialization):
        def Build(self) -> None:
            self.actions = _source(g4, shots), Tracking()
            for action in self.actions:
                self.SetUserAction(action)

    return Actions()
