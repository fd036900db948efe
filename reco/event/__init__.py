"""Events as a user of Python sees them: awkward tables, particles and interactions as objects."""

from reco.event.event import Event
from reco.event.objects import Interaction, Particle, TrueInteraction, TrueParticle, partners, rows

__all__ = [
    "Event",
    "Interaction",
    "Particle",
    "TrueInteraction",
    "TrueParticle",
    "partners",
    "rows",
]
