"""Geant4 in a world of liquid argon: primaries in, trajectories and deposits of energy out.

Geant4 allows one set-up per process. An event depends on its primaries and its seed alone, not on
the events before it, so that any event can be made again and jobs can be cut anywhere.
"""

import os
import sys
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np

from reco.data.ragged import Array
from reco.data.tracks import Deposits, Tracks
from reco.errors import ConfigError, InputError, RecoError
from reco.simulate.library import load
from reco.simulate.primary import Primary
from reco.simulate.processes import category

Hadronic = Literal["FTFP_BERT", "QGSP_BERT", "QGSP_BIC", "FTF_BIC", "NuBeam"]
Electromagnetic = Literal["option0", "option1", "option2", "option3", "WVI"]

_MM, _NS = 0.1, 1e-3  # Geant4's units in cm and µs


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


class Geant4:
    """One set-up of Geant4; a process can have only one (RecoError otherwise)."""

    _taken = False

    def __init__(self, options: Options | None = None) -> None:
        if Geant4._taken:
            raise RecoError(
                "Geant4 allows one set-up per process: share the first, or start another process"
            )
        self.options = options or Options()
        with _silent_stdout():
            self._g4 = load()
            Geant4._taken = True
            self._recorder = _Recorder()
            self._primaries: list[tuple[Primary, Any]] = []
            self._manager, self._keep = _set_up(
                self._g4, self.options, self._primaries, self._recorder
            )
        self._particles = self._g4.G4ParticleTable.GetParticleTable()

    def simulate(self, primaries: Sequence[Primary], seed: int) -> tuple[Tracks, Deposits]:
        """Follow the primaries and all they make.

        seed: 0 or above; with equal seeds equal primaries give equal events.
        Tracks: every primary, every particle that left energy in the cube, and all ancestors of
        these, in the order of their numbers; the first are the primaries in the given order.
        Deposits: in the cube alone, along the step of a charged particle, and where a neutral one
        interacted.
        Raises InputError for a primary that Geant4 cannot follow.
        """
        if seed < 0:
            raise InputError(f"the seed of an event must not be negative: {seed}")
        self._primaries[:] = [(p, self._definition(p)) for p in primaries]
        self._recorder.clear()
        # Neighbouring seeds must not give related events, and the engine takes 63 bits.
        mixed = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> np.uint64(1)
        self._g4.G4Random.setTheSeed(int(mixed))
        if primaries:
            self._manager.BeamOn(1)
        interactions = np.array([p.interaction for p in primaries], np.int32)
        return self._recorder.event(interactions)

    def _definition(self, primary: Primary) -> Any:
        definition = self._particles.FindParticle(int(primary.pdg))
        if definition is None or definition.IsShortLived():
            raise InputError(f"Geant4 cannot follow a particle with the PDG code {primary.pdg}")
        if not primary.kinetic_energy > 0 or not any(primary.direction):
            raise InputError(f"a primary needs a kinetic energy and a direction: {primary}")
        return definition


def _set_up(
    g4: ModuleType, options: Options, primaries: list[tuple[Primary, Any]], recorder: "_Recorder"
) -> tuple[Any, tuple[Any, ...]]:
    """The run manager, ready for events, and what it does not keep alive by itself."""
    manager = g4.G4RunManagerFactory.CreateRunManager(g4.G4RunManagerType.Serial)
    parts = (
        _detector(g4, options, recorder),
        _physics(g4, options),
        _actions(g4, primaries, recorder),
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


def _detector(g4: ModuleType, options: Options, recorder: "_Recorder") -> Any:
    """A cube that records, within a larger one of the same argon that does not."""

    class Detector(g4.G4VUserDetectorConstruction):
        def Construct(self) -> Any:
            argon = g4.G4NistManager.Instance().FindOrBuildMaterial("G4_lAr")
            self.limits = g4.G4UserLimits(options.max_step / _MM)
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
            box = g4.G4Box(name, half / _MM, half / _MM, half / _MM)
            volume = g4.G4LogicalVolume(box, material, name)
            volume.SetUserLimits(self.limits)
            return volume

        def ConstructSDandField(self) -> None:
            self.sensitive = _sensitive(g4, recorder)
            g4.G4SDManager.GetSDMpointer().AddNewDetector(self.sensitive)
            self.SetSensitiveDetector(self.active, self.sensitive)

    return Detector()


def _sensitive(g4: ModuleType, recorder: "_Recorder") -> Any:
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
                note((a.x, a.y, a.z, b.x, b.y, b.z, energy, before.GetGlobalTime()))
            return True

    return Active("active")


def _physics(g4: ModuleType, options: Options) -> Any:
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
            self.parts[-1].SetTimeLimit(options.neutron_time / _NS)
            for part in self.parts:
                self.RegisterPhysics(part)
            self.SetDefaultCutValue(options.production_cut / _MM)

    return Physics()


def _source(g4: ModuleType, primaries: list[tuple[Primary, Any]]) -> Any:
    class Source(g4.G4VUserPrimaryGeneratorAction):
        def __init__(self) -> None:
            super().__init__()
            self.gun = g4.G4ParticleGun(1)

        def GeneratePrimaries(self, event: Any) -> None:
            gun = self.gun
            for primary, definition in primaries:
                gun.SetParticleDefinition(definition)
                gun.SetParticleEnergy(float(primary.kinetic_energy))
                gun.SetParticlePosition(g4.G4ThreeVector(*(x / _MM for x in primary.position)))
                gun.SetParticleMomentumDirection(g4.G4ThreeVector(*primary.unit_direction))
                gun.SetParticleTime(primary.time / _NS)
                gun.GeneratePrimaryVertex(event)

    return Source()


def _actions(
    g4: ModuleType, primaries: list[tuple[Primary, Any]], recorder: "_Recorder"
) -> Any:
    class Tracking(g4.G4UserTrackingAction):
        def PostUserTrackingAction(self, track: Any) -> None:
            recorder.track(track)

    class Actions(g4.G4VUserActionInitialization):
        def Build(self) -> None:
            self.actions = _source(g4, primaries), Tracking()
            for action in self.actions:
                self.SetUserAction(action)

    return Actions()


class _Recorder:
    """Collects the steps and tracks of the event that runs, as flat rows of numbers."""

    _STEP, _TRACK = 8, 19

    def __init__(self) -> None:
        self.deposits = array("d")
        self._tracks = array("d")
        self._pdg: dict[int, int] = {}
        # Held so that the binding finds the wrappers of definitions and processes again.
        self._kinds: dict[Any, tuple[int, float, float]] = {}
        self._names: dict[Any, str] = {None: ""}

    def clear(self) -> None:
        del self.deposits[:], self._tracks[:]
        self._pdg.clear()

    def track(self, track: Any) -> None:
        """Note a track that has come to its end; all its steps were noted just before."""
        number, parent = track.GetTrackID(), track.GetParentID()
        kind = self._kind(track.GetParticleDefinition())
        self._pdg[number] = kind[0]
        process = self._name(track.GetCreatorProcess())
        a, b, d = track.GetVertexPosition(), track.GetPosition(), track.GetVertexMomentumDirection()
        self._tracks.extend((
            number, parent, *kind, category(process, self._pdg.get(parent, 0)),
            track.GetVertexKineticEnergy(), track.GetTrackLength(),
            track.GetGlobalTime() - track.GetLocalTime(),
            a.x, a.y, a.z, b.x, b.y, b.z, d.x, d.y, d.z, len(self.deposits),
        ))  # fmt: skip

    def _kind(self, definition: Any) -> tuple[int, float, float]:
        kind = self._kinds.get(definition)
        if kind is None:
            d = definition
            kind = d.GetPDGEncoding(), d.GetPDGMass(), d.GetPDGCharge()
            self._kinds[definition] = kind
        return kind

    def _name(self, process: Any) -> str:
        name = self._names.get(process)
        if name is None:
            name = self._names[process] = process.GetProcessName()
        return name

    def event(self, interactions: Array) -> tuple[Tracks, Deposits]:
        """interactions: (P,) of the primaries. The event since the last clear()."""
        tracks = np.array(self._tracks).reshape(-1, self._TRACK)
        steps = np.array(self.deposits).reshape(-1, self._STEP)
        counts = np.diff(tracks[:, -1], prepend=0).astype(np.int64) // self._STEP
        row = np.repeat(np.arange(len(tracks)), counts)
        neutral = tracks[row, 4] == 0
        steps[neutral, :3] = steps[neutral, 3:6]
        order = np.argsort(tracks[:, 0])
        tracks, row = tracks[order], np.argsort(order)[row]
        ancestor, kept = _family(tracks[:, 0], tracks[:, 1], np.unique(row))
        interaction = interactions[ancestor[kept]] if len(kept) else interactions
        where = np.full(len(tracks), -1)
        where[kept] = np.arange(len(kept))
        return _tracks(tracks[kept], interaction), _deposits(steps, where[row])


def _family(number: Array, parent: Array, seen: Array) -> tuple[Array, Array]:
    """(T,) row of the primary each track comes from, and the rows to keep: those seen, the
    primaries, and all between them. Numbers rise, and a parent's is below its children's."""
    mother = np.searchsorted(number, parent)
    primary = parent == 0
    ancestor = np.where(primary, np.arange(len(number)), mother)
    while not primary[ancestor].all():
        ancestor = ancestor[ancestor]
    keep = primary.copy()
    front = seen
    while len(front):
        front = front[~keep[front]]
        keep[front] = True
        front = np.unique(mother[front])
    return ancestor, np.flatnonzero(keep)


def _tracks(rows: Array, interaction: Array) -> Tracks:
    mass, energy, direction = rows[:, 3:4], rows[:, 6:7], rows[:, 15:18]
    momentum = np.sqrt(energy * (energy + 2 * mass)) * direction
    return Tracks(
        track_id=rows[:, 0].astype(np.int32),
        parent_id=rows[:, 1].astype(np.int32),
        pdg=rows[:, 2].astype(np.int32),
        process=rows[:, 5].astype(np.int8),
        interaction=interaction.astype(np.int32),
        start=(rows[:, 9:12] * _MM).astype(np.float32),
        end=(rows[:, 12:15] * _MM).astype(np.float32),
        momentum=momentum.astype(np.float32),
        kinetic_energy=rows[:, 6].astype(np.float32),
        length=(rows[:, 7] * _MM).astype(np.float32),
        time=(rows[:, 8] * _NS).astype(np.float32),
    )


def _deposits(rows: Array, track: Array) -> Deposits:
    return Deposits(
        track=track.astype(np.int32),
        start=(rows[:, 0:3] * _MM).astype(np.float32),
        end=(rows[:, 3:6] * _MM).astype(np.float32),
        energy=rows[:, 6].astype(np.float32),
        time=(rows[:, 7] * _NS).astype(np.float32),
    )


@contextmanager
def _silent_stdout() -> Iterator[None]:
    """Geant4 prints its banner from C++, past sys.stdout."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
        sys.stdout.flush()
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
