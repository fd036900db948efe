"""The figures of merit that the papers define."""
