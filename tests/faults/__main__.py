"""The long campaigns: `python -m tests.faults --mutations 10000 --documents 10000 --kills 100`."""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from hypothesis import settings

from reco.pipeline import Pipeline
from tests.faults.campaign import mutations, table
from tests.faults.judge import GOOD
from tests.faults.kills import kill_runs, kill_submitters
from tests.faults.memory import SAMPLE, growth
from tests.faults.test_yaml import documents
from tests.test_pipeline import pipeline, write_hits


def main() -> int:
    words = _words()
    faults = 0
    if words.mutations:
        faults += break_files(words)
    if words.documents:
        documents(settings(max_examples=words.documents))
        print(f"{words.documents} YAML documents: only clear errors")
    with tempfile.TemporaryDirectory() as name:
        source = write_hits(Path(name) / "hits.h5", [[1.0 + i % 7, 2.0] for i in range(60)])
        if words.kills:
            submitted = words.kills // 4  # workers take seconds to begin
            found = kill_runs(source, Path(name), words.kills - submitted)
            print(f"reco run: {found}; every next run as the first", flush=True)
            found = kill_submitters(source, Path(name), submitted)
            print(f"reco submit: {found}; every shard once, merged as one run", flush=True)
        if words.events:
            many = write_hits(Path(name) / "many.h5", [[1.0 + i % 7, 2.0] for i in range(600)])
            faults += grows("small stages", pipeline(3), many, words.events)
            chain = Pipeline.load("lartpc")
            faults += grows("whole chain", chain, SAMPLE, words.events // 10)
    return int(faults > 0)


def grows(name: str, pipe: Pipeline, source: Path, events: int) -> bool:
    grown = growth(pipe, source, events)
    print(f"{name}: {grown}", flush=True)
    return grown.relative >= 0.05


def break_files(words: argparse.Namespace) -> int:
    verdicts = mutations(
        words.mutations, words.seed, workers=words.workers, only=words.only, keep=words.keep
    )
    print(table(verdicts))
    bad = [v for v in verdicts if v.outcome not in GOOD]
    for verdict in bad:
        print(replace(verdict, message=verdict.message[:200]))
    return len(bad)


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    numbers = {
        "mutations": "broken files to read",
        "documents": "YAML documents to load",
        "kills": "runs to kill",
        "events": "events to read for the growth of memory",
    }
    for name, what in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=0, help=what)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that break files")
    parser.add_argument("--only", default="", help="part of a sample's name")
    parser.add_argument("--keep", default="", help="folder for the files of bad cases")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
