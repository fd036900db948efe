"""Many files on many machines: work items, the manifest of what is done, the engine, the merge."""
