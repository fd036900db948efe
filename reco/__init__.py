"""Event reconstruction for liquid-argon time-projection chambers."""
