"""Files at a URL (HTTP, HTTPS, XRootD and whatever else fsspec knows), read in pieces."""

import re
from pathlib import Path
from typing import Any

from reco.errors import FormatError
from reco.io.base import cause_of

_URL = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
PACKAGES = {"http": "aiohttp", "https": "aiohttp", "root": "fsspec-xrootd", "s3": "s3fs"}
"""Protocol -> the package besides fsspec that it needs."""
BLOCK = 1 << 20
"""Bytes asked for at a time."""


def is_url(name: str | Path) -> bool:
    return isinstance(name, str) and _URL.match(name) is not None


def open_url(url: str) -> Any:
    """A seekable binary file that asks the server only for the parts that are read.

    Raises FormatError when the package for the protocol is missing, the file cannot be reached,
    or the server gives only whole files.
    """
    protocol = url.partition("://")[0].lower()
    needed = f"fsspec {PACKAGES.get(protocol, '')}".rstrip()
    try:
        import fsspec

        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise FormatError(
            f"{url}: reading from {protocol}:// needs packages that are not installed "
            f"({cause_of(error)}); pip install {needed}"
        ) from None
    except ValueError as error:
        raise FormatError(
            f"{url}: no way to read from {protocol}:// ({cause_of(error)}); install the package of "
            f"fsspec for it ({needed}), or copy the file here"
        ) from None
    return _opened(system, path, url)


def _opened(system: Any, path: str, url: str) -> Any:
    # fsspec's systems raise errors of the libraries behind them, of any kind
    try:
        file = system.open(path, "rb", block_size=BLOCK, cache_type="blockcache")
    except Exception as error:
        raise FormatError(f"{url}: cannot be opened ({cause_of(error)})") from None
    try:
        file.seek(-1, 2)
        file.read(1)
        file.seek(0)
    except Exception as error:
        raise FormatError(
            f"{url}: this server does not give parts of a file ({cause_of(error)}); "
            "copy it here first"
        ) from None
    return file
