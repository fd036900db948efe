"""Ragged arrays, the typed products, truth and its labels."""
