"""From the names of Geant4's processes to the few categories that the label rules ask for."""

from functools import cache

from reco.data.tracks import PROCESSES

NEUTRON = 2112

_BY_NAME = {
    "Decay": "decay",
    "DecayWithSpin": "decay",
    "RadioactiveDecay": "decay",
    "eIoni": "ionisation",
    "muIoni": "ionisation",
    "hIoni": "ionisation",
    "ionIoni": "ionisation",
    "compt": "compton",
    "conv": "conversion",
    "GammaToMuPair": "conversion",
    "muPairProd": "conversion",
    "hPairProd": "conversion",
    "phot": "photoelectric",
    "eBrem": "bremsstrahlung",
    "muBrems": "bremsstrahlung",
    "hBrems": "bremsstrahlung",
    "annihil": "annihilation",
    "nCapture": "neutron",
}
_BY_ENDING = {
    "CaptureAtRest": "capture",
    "Inelastic": "hadronic",
    "Elastic": "hadronic",
    "Nuclear": "hadronic",
}


@cache
def category(process: str, parent_pdg: int) -> int:
    """Position in PROCESSES of what a track was made by; an empty name is a primary's.

    Whatever a neutron did is `neutron`, save its decay. The electron of a bound mu- that decays
    comes out of the capture process: a `capture` electron above 1 MeV is a Michel electron,
    those below are Auger electrons (K shell of muonic argon: 0.9 MeV).
    """
    name = _name(process)
    if parent_pdg == NEUTRON and name == "hadronic":
        name = "neutron"
    return PROCESSES.index(name)


def _name(process: str) -> str:
    if not process:
        return "primary"
    if process in _BY_NAME:
        return _BY_NAME[process]
    return next((name for end, name in _BY_ENDING.items() if process.endswith(end)), "other")
