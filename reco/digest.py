"""What a file holds, in a few characters."""

import hashlib
from pathlib import Path


def sha256_of(path: Path) -> str:
    """Of a whole file, as hexadecimal digits. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
