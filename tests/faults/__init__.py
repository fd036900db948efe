"""What a run must survive; `python -m tests.faults --help` for the long campaigns."""
