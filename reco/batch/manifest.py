"""The record of what is done, in SQLite: one writer, any number of readers.

The journal is SQLite's rollback journal and not WAL: WAL needs memory shared between all who have
the file open, which no network file system gives to two machines. Only the process that submits
writes; the workers hand it their results. Jobs of an array each write a manifest of their own, in a
folder `part-K-of-N`, and whoever reads takes them all.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from urllib.parse import quote

from reco.batch.plan import InputFile, Recipe, WorkItem
from reco.errors import RecoError
from reco.pipeline.lock import locked

NAME = "manifest.sqlite"
SHARDS = "shards"
"""Folder of the shards, beside the manifest; nothing else is kept in it."""
SECONDS_TO_WAIT = 60
"""For the lock of another process, which holds it for some milliseconds at a time."""
TABLES = """
CREATE TABLE IF NOT EXISTS about (recipe TEXT NOT NULL, size INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS files (id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL,
    identity TEXT NOT NULL, stamp TEXT NOT NULL, events INTEGER NOT NULL, problem TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS facts (id INTEGER PRIMARY KEY, content TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS shards (file INTEGER NOT NULL, start INTEGER NOT NULL,
    stop INTEGER NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, bytes INTEGER NOT NULL,
    empty INTEGER NOT NULL, failed INTEGER NOT NULL, seconds REAL NOT NULL,
    facts INTEGER NOT NULL, PRIMARY KEY (file, start, stop)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS aside (file INTEGER NOT NULL, start INTEGER NOT NULL,
    stop INTEGER NOT NULL, tries INTEGER NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (file, start, stop)) WITHOUT ROWID;
"""
ITEM = "SELECT path, identity, start, stop"


@dataclass(frozen=True)
class Shard:
    """A finished item. name: of its file, relative to the manifest. sha256, bytes: of that file.

    empty, failed: numbers of events. seconds: of the worker, start-up of a new one included.
    facts: JSON of the provenance that shards share (weights, versions, commit, device).
    """

    item: WorkItem
    name: str
    sha256: str
    bytes: int
    empty: int
    failed: int
    seconds: float
    facts: str

    @property
    def events(self) -> int:
        return self.item.stop - self.item.start


@dataclass(frozen=True)
class Failure:
    """An item that did not become a shard. tries: how often it was begun. worker: the last one."""

    item: WorkItem
    message: str
    worker: str = ""
    tries: int = 1


@dataclass(frozen=True)
class Ledger:
    """What all manifests of an output folder say together, of the files as they were last seen.

    recipe, size: None where there is no manifest yet. shards: the folder and the record of each.
    """

    recipe: Recipe | None
    size: int | None
    files: dict[str, InputFile]
    shards: dict[WorkItem, tuple[Path, Shard]]
    aside: dict[WorkItem, Failure]

    def items(self) -> Iterator[WorkItem]:
        """All that there is to do, in the order of the files."""
        for file in self.files.values():
            yield from file.items(self.size or 1)

    def missing(self) -> list[WorkItem]:
        return [item for item in self.items() if item not in self.shards]

    def whole(self) -> "Ledger":
        """Without the shards that are gone or have another size."""
        good = {i: (f, s) for i, (f, s) in self.shards.items() if _is_whole(f, s)}
        return replace(self, shards=good)


def path_of(folder: Path, name: str) -> Path:
    """Of a shard. Raises RecoError where the manifest names a file outside its folder."""
    root, path = folder.resolve(), (folder / name).resolve()
    if not path.is_relative_to(root / SHARDS):
        raise _outside(folder, name)
    return path


def _outside(folder: Path, name: str) -> RecoError:
    return RecoError(f"{folder / NAME}: names {name!r}, which is not below {folder / SHARDS}")


def _is_whole(folder: Path, shard: Shard) -> bool:
    try:
        return (folder / shard.name).stat().st_size == shard.bytes
    except OSError:
        return False


def ledger(output: Path) -> Ledger:
    """Read all manifests of a folder (none is no error). Raises RecoError where they disagree."""
    whole = Ledger(None, None, {}, {}, {})
    for path in [output / NAME, *sorted(output.glob(f"part-*-of-*/{NAME}"))]:
        if path.is_file() and path.stat().st_size:  # without a byte: killed when it was made
            part = _read(path)
            if whole.recipe and (whole.recipe, whole.size) != (part.recipe, part.size):
                raise RecoError(f"{path}: made in another way than the rest of {output}")
            for name, file in part.files.items():
                if file.turn > whole.files.setdefault(name, file).turn:
                    whole.files[name] = file
            whole.shards.update(part.shards)
            whole.aside.update(part.aside)
            whole = replace(whole, recipe=part.recipe, size=part.size)
    shards = {i: found for i, found in whole.shards.items() if _is_of(i, whole.files)}
    aside = {i: f for i, f in whole.aside.items() if i not in shards and _is_of(i, whole.files)}
    return replace(whole, shards=shards, aside=aside)


def _is_of(item: WorkItem, files: Mapping[str, InputFile]) -> bool:
    """Of a file as it is now, and not as it was before it changed."""
    return item.identity == files[item.path].identity


def _read(path: Path) -> Ledger:
    with _errors(path), closing(_connect(path)) as db:
        about = db.execute("SELECT recipe, size FROM about").fetchone()
        files = db.execute("SELECT * FROM files ORDER BY id")  # older ones have no turn
        found = {row[1]: InputFile(*row[1:]) for row in files}
        columns = "name, sha256, bytes, empty, failed, seconds, content"
        join = "JOIN files ON file = files.id JOIN facts ON facts = facts.id"
        done = [
            Shard(WorkItem(*row[:4]), *row[4:])
            for row in db.execute(f"{ITEM}, {columns} FROM shards {join}")
        ]
        for shard in done:  # by the name alone, as there are many; links are followed by `path_of`
            if not shard.name.startswith(f"{SHARDS}/") or ".." in shard.name.split("/"):
                raise _outside(path.parent, shard.name)
        aside = [
            Failure(WorkItem(*row[:4]), message=row[4], tries=row[5])
            for row in db.execute(f"{ITEM}, message, tries FROM aside JOIN files ON file = id")
        ]
        shards = {shard.item: (path.parent, shard) for shard in done}
        try:
            recipe = Recipe(**json.loads(about[0]))
        except (ValueError, TypeError) as error:
            raise _unusable(path, error) from None
        return Ledger(recipe, about[1], found, shards, {f.item: f for f in aside})


class Manifest:
    """The manifest of a folder, open for writing; see `writing`."""

    def __init__(self, folder: Path, db: sqlite3.Connection) -> None:
        self.folder = folder
        self.path = folder / NAME
        self._db = db

    def plan(self, files: Iterable[InputFile]) -> None:
        """Note the inputs; what was made of a file that has changed since counts no more."""
        with _errors(self.path), self._db as db:
            for file in files:
                changed = "SELECT id FROM files WHERE path = ? AND identity != ?"
                for table in ("shards", "aside"):
                    where = f"DELETE FROM {table} WHERE file IN ({changed})"
                    db.execute(where, (file.path, file.identity))
                db.execute(
                    "INSERT INTO files (path, identity, stamp, events, problem, turn) "
                    "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET identity = "
                    "excluded.identity, stamp = excluded.stamp, events = excluded.events, "
                    "problem = excluded.problem, turn = excluded.turn",
                    astuple(file),
                )

    def add(self, results: Iterable[Shard | Failure]) -> None:
        """Record what came of some items, all or none of it."""
        with _errors(self.path), self._db as db:
            for result in results:
                item = result.item
                where = (item.start, item.stop, item.path)
                db.execute(
                    "DELETE FROM aside WHERE start = ? AND stop = ? AND file = "
                    "(SELECT id FROM files WHERE path = ?)",
                    where,
                )
                if isinstance(result, Failure):
                    db.execute(
                        "INSERT INTO aside SELECT id, ?, ?, ?, ? FROM files WHERE path = ?",
                        (*where[:2], result.tries, result.message, item.path),
                    )
                    continue
                db.execute("INSERT OR IGNORE INTO facts (content) VALUES (?)", (result.facts,))
                columns = astuple(result)[1:7]
                db.execute(
                    "INSERT OR REPLACE INTO shards SELECT files.id, ?, ?, ?, ?, ?, ?, ?, ?, "
                    "facts.id FROM files, facts WHERE path = ? AND content = ?",
                    (*where[:2], *columns, item.path, result.facts),
                )

    def sweep(self) -> None:
        """Remove what killed workers left, and shards that are not whole."""
        done = _read(self.path).whole().shards
        kept = {self.folder / shard.name for _, shard in done.values()}
        for folder in (self.folder / SHARDS).iterdir():
            if folder.is_symlink() or not folder.is_dir():  # a link may lead to anybody's files
                continue
            for path in folder.iterdir():
                if path not in kept and (path.is_symlink() or not path.is_dir()):
                    path.unlink(missing_ok=True)


@contextmanager
def writing(folder: Path, recipe: Recipe, size: int) -> Iterator[Manifest]:
    """Open the manifest of a folder, a new one if there is none.

    Raises RecoError where another process holds it, the folder cannot be written, or that of the
    shards is a link, through which none of them would be merged.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecoError(f"{folder}: cannot be made ({error.strerror}); -o FOLDER") from None
    with locked(path), closing(_connect(path, "rwc")) as db:
        with _errors(path), db:
            _prepare(db, recipe, size)
        if (folder / SHARDS).is_symlink():
            raise RecoError(f"{folder / SHARDS}: is a link; make {folder} itself one, or move it")
        (folder / SHARDS).mkdir(exist_ok=True)
        yield Manifest(folder, db)


def _prepare(db: sqlite3.Connection, recipe: Recipe, size: int) -> None:
    db.execute("BEGIN IMMEDIATE")
    for statement in TABLES.split(";"):
        db.execute(statement)
    if "turn" not in [column[1] for column in db.execute("PRAGMA table_info(files)")]:
        db.execute("ALTER TABLE files ADD COLUMN turn INTEGER NOT NULL DEFAULT 0")
    if not db.execute("SELECT 1 FROM about").fetchone():
        db.execute("INSERT INTO about VALUES (?, ?)", (json.dumps(asdict(recipe)), size))


def _connect(path: Path, mode: str = "rw") -> sqlite3.Connection:
    uri = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=SECONDS_TO_WAIT)


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: Exception) -> RecoError:
    return RecoError(
        f"{path}: cannot be used as a manifest ({error}); if it is damaged, remove it: what it "
        "records is then made again"
    )
