"""Readers of other packages, found by the entry point `reco.readers`."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from reco.errors import FormatError, RecoError
from reco.io.base import Reader, cause_of
from reco.io.branches import Branches

GROUP = "reco.readers"


@dataclass(frozen=True)
class Plugin:
    """What the entry point names: a format of one's own.

    recognise: whether a file is one, from its path and its first 512 bytes; asked before any
    format of reco's own, so it must be quick and sure. open: the reader, from path and branches.
    """

    recognise: Callable[[str, bytes], bool]
    open: Callable[[str, Branches], Reader]


def open_by_plugin(path: str, head: bytes, branches: Branches) -> Reader | None:
    """The reader of the first plug-in that knows the file, or None.

    Raises RecoError that names the plug-in when one cannot be loaded or breaks.
    """
    for point in entry_points(group=GROUP):
        plugin = _load(point)
        if _asked(point, plugin, path, head):
            return _open(point, plugin, path, branches)
    return None


def plugin_names() -> list[str]:
    return [point.name for point in entry_points(group=GROUP)]


def _load(point: EntryPoint) -> Plugin:
    # a plug-in is foreign code: nothing narrower than Exception holds for it
    try:
        plugin = point.load()
    except Exception as error:
        raise _broken(point, f"cannot be loaded ({cause_of(error)})") from error
    if not isinstance(plugin, Plugin):
        raise _broken(point, f"is a {type(plugin).__name__}, not a reco.io.plugins.Plugin")
    return plugin


def _asked(point: EntryPoint, plugin: Plugin, path: str, head: bytes) -> bool:
    try:
        return bool(plugin.recognise(path, head))
    except Exception as error:
        raise _broken(point, f"broke on {path} ({cause_of(error)})") from error


def _open(point: EntryPoint, plugin: Plugin, path: str, branches: Branches) -> Reader:
    try:
        reader = plugin.open(path, branches)
    except RecoError:
        raise
    except Exception as error:
        raise _broken(point, f"cannot open {path} ({cause_of(error)})") from error
    lacking = [n for n in ("describe", "read", "close", "__len__") if not hasattr(reader, n)]
    if lacking:
        raise _broken(point, f"gave a {type(reader).__name__} without {', '.join(lacking)}")
    return reader


def _broken(point: EntryPoint, what: str) -> FormatError:
    package = f" of {point.dist.name}" if point.dist is not None else ""
    return FormatError(
        f"reader plug-in {point.name!r}{package} ({point.value}) {what}; "
        "repair it, or uninstall its package"
    )
