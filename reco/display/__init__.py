"""Pictures of single events: what there is to see (`scene`), and pages that show it (`page`)."""
