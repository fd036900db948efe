"""Errors that are for the user: what is wrong, where, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager


class RecoError(Exception):
    """Any failure a user can act on; the command line prints its message without a traceback."""


class InputError(RecoError):
    """An array, argument or event that cannot be used as it is."""


class FormatError(RecoError):
    """A file that is not what it should be: unknown, truncated, or lacking a branch."""


class ConfigError(RecoError):
    """A configuration that does not make sense; the message names the key and its path."""


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Put a place, such as a file and a key, before what a ConfigError says."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
