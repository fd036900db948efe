"""Geant4 events in liquid argon."""
