"""Losses, training loop, checkpoints."""
