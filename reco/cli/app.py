"""The commands. Each imports what it needs when it runs, so that `reco --help` is quick."""

import signal
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    name="reco",
    help="Event reconstruction for liquid-argon time-projection chambers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _stages() -> list[str]:
    from reco.stages import STAGES

    return list(STAGES)


def _pipelines() -> list[str]:
    from reco.config import names

    return names()


def _detectors() -> list[str]:
    from reco.detector import names

    return names()


def _examples(*commands: str) -> str:
    """What stands below the help of a command, each on a line of its own."""
    return "\b\nExamples:\n" + "\n".join(f"  reco {command}" for command in commands)


PipelineFile = Annotated[
    str,
    typer.Argument(
        metavar="PIPELINE",
        help="YAML file, or a shipped name such as lartpc.",
        autocompletion=_pipelines,
    ),
]
Overrides = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value: run.batch_size=4. Repeat."),
]


def _version(wanted: bool) -> None:
    if wanted:
        import reco

        typer.echo(f"reco {reco.__version__}")
        raise typer.Exit


@app.callback(
    epilog=_examples(
        "inspect data_samples/lartpc.root",
        "run lartpc data_samples/lartpc.root -o out.h5",
        "view out.h5 --event 3",
        "run --help",
    )
)
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it and exit."),
    ] = False,
) -> None:
    # a batch system ends a job with SIGTERM: leave as with Ctrl-C, and no partial output behind
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _settings(**run: str | int | None) -> list[str]:
    """Options of the command line as overrides of `run` in the pipeline."""
    return [f"run.{key}={value}" for key, value in run.items() if value is not None]


@app.command(
    epilog=_examples(
        "run lartpc data_samples/lartpc.root -o out.h5",
        "run mine.yaml '*.root' -o folder --set run.batch_size=4",
        "run lartpc a.root --until fragments -o part.h5",
        "run lartpc --from part.h5 -o out.h5",
    )
)
def run(
    pipeline: PipelineFile,
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="INPUT", help="Files of any known format; globs work too."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Output file [INPUT_reco.h5]; a folder for several inputs."
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="STAGE", help="Stop after this stage.", autocompletion=_stages),
    ] = None,
    stored: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Go on from products stored by --until."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006  (typer copies it)
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; 0: all cores.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Events per batch.")] = None,
    start: Annotated[int, typer.Option(min=0, help="First event.")] = 0,
    stop: Annotated[int | None, typer.Option(min=0, help="Event before which to stop.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output.")] = False,
    shard: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Only this part, into shards: for arrays of batch jobs."),
    ] = None,
) -> None:
    """Reconstruct files of hits. Exit code 3: some events failed."""
    overrides = overrides + _settings(device=device, threads=threads, batch_size=batch_size)
    if shard is not None:
        from reco.cli.submit import run_part

        others: dict[str, object] = {"--from": stored, "--until": until, "--overwrite": overwrite}
        others |= {"--start": start, "--stop": stop}
        raise typer.Exit(run_part(pipeline, overrides, inputs or (), output, shard, others))
    from reco.cli.run import Request, run_all

    chosen = Request(tuple(inputs or ()), stored, output, until, start, stop, overwrite)
    raise typer.Exit(run_all(pipeline, overrides, chosen))


@app.command(
    epilog=_examples(
        "submit lartpc '*.root' -o folder --site slurm --dry-run",
        "submit lartpc a.root b.root -o folder -j 8",
    )
)
def submit(
    pipeline: PipelineFile,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT", help="Files, globs, URLs.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of shards and manifest.")],
    site: Annotated[
        str, typer.Option(help="YAML file, or a shipped name: local, slurm, htcondor, dask.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option("-j", "--workers", min=1, help="Or jobs [as the site says].")
    ] = None,
    events: Annotated[int | None, typer.Option(min=1, help="Per work item [1000].")] = None,
    tries: Annotated[int, typer.Option(min=1, help="Before an item is set aside.")] = 4,
    limit: Annotated[
        float | None, typer.Option(min=1, metavar="SECONDS", help="Of an item; then it is killed.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was set aside.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the job scripts, and do nothing.")
    ] = False,
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Reconstruct many files on many workers; the same command again goes on.

    Exit code 3: events failed, or inputs were set aside (needs `pip install lartpc-reco[batch]`).
    """
    from reco.cli.submit import request_of, submit_files

    request = request_of(pipeline, overrides, inputs, output, events, again, limit)
    raise typer.Exit(submit_files(request, site, workers, tries, dry_run))


@app.command(epilog=_examples("status folder"))
def status(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of `reco submit`.")],
) -> None:
    """Say what is done, what failed and what was set aside. Exit code 3: something was."""
    from reco.cli.submit import status_of

    raise typer.Exit(status_of(folder))


@app.command(epilog=_examples("merge folder -o out.h5"))
def merge(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of `reco submit`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HDF5 file.")],
    partial: Annotated[
        bool, typer.Option("--partial", help="Although work items are missing.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output.")] = False,
) -> None:
    """Join shards into the file that one `reco run` would have written."""
    from reco.cli.submit import merge_folder

    merge_folder(folder, output, partial, overwrite)


@app.command(
    epilog=_examples(
        "inspect a.root",
        "inspect mine.root -p mine.yaml",
        "inspect mine.root --set input.x=hit_x",
    )
)
def inspect(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A file of hits, or an output.")],
    pipeline: Annotated[
        str | None,
        typer.Option("-p", "--pipeline", help="Pipeline whose `input` names the branches."),
    ] = None,
    overrides: Overrides = [],  # noqa: B006
) -> None:
    """Say what a file is: format, events, truth, and the branches that would be used."""
    from reco.cli.inspect import inspect_file

    typer.echo("\n".join(inspect_file(file, pipeline, overrides)))


@app.command(
    epilog=_examples(
        "convert out.h5 -o out.root",
        "convert out.h5 -o out.csv --table particles",
    )
)
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written by reco.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="OUT.root, OUT.parquet or OUT.csv (folders).")
    ],
    format: Annotated[
        str | None,
        typer.Option(help="ttree, rntuple, parquet or csv [by the name of the output]."),
    ] = None,
    tables: Annotated[
        list[str],
        typer.Option("--table", metavar="TABLE", help="Only this one, and events. Repeat."),
    ] = [],  # noqa: B006
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output.")] = False,
) -> None:
    """Write an output as ROOT (TTree or RNTuple), Parquet or CSV."""
    from reco.cli.convert import convert_file

    convert_file(file, output, format, tables, overwrite)


@app.command(
    epilog=_examples(
        "simulate mixed -n 100 -o events.root",
        "simulate mixed -n 1000 --seed 7 -j 4 -o events.h5",
        "simulate neutrinos.hepmc3 -o events.h5 --off noise",
        "simulate --like events.h5 --set response.noise=1 -o noisier.h5",
    )
)
def simulate(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="mixed, crowded, neutrino, vertex, rain, single, stopping_muon, cosmic, kaon, "
            "pi0, or the path of a HepMC3 file.",
        ),
    ] = "mixed",
    output: Annotated[
        Path, typer.Option("-o", "--output", help="ROOT where it ends in .root, else HDF5.")
    ] = Path("simulated.h5"),
    events: Annotated[int, typer.Option("-n", "--events", min=1, help="How many.")] = 10,
    first: Annotated[int, typer.Option(min=0, help="Number of the first event.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="An event depends on seed and number.")] = 1,
    detector: Annotated[
        str, typer.Option(help="Name or YAML file.", autocompletion=_detectors)
    ] = "generic",
    off: Annotated[
        list[str],
        typer.Option(
            metavar="EFFECT",
            help="recombination, lifetime, diffusion, noise or threshold. Repeat.",
        ),
    ] = [],  # noqa: B006
    spread: Annotated[
        float, typer.Option(min=0, help="Relative spread of the response between events.")
    ] = 0.0,
    like: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Make the sample of FILE again: all is taken from it."),
    ] = None,
    overrides: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change the response or Geant4: response.noise=1, options.hadronic=FTF_BIC. "
            "Repeat.",
        ),
    ] = [],  # noqa: B006
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Processes.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output.")] = False,
) -> None:
    """Simulate events in liquid argon with full truth (needs `pip install lartpc-reco[sim]`)."""
    from reco.cli.simulate import Request, simulate_file

    sample = (recipe, events, first, seed, detector, tuple(off), spread)
    request = Request(*sample, like, tuple(overrides))
    simulate_file(request, output, jobs, overwrite)


@app.command(
    epilog=_examples("train lartpc segment a.h5 --held-out b.h5 -o runs --schedule steps=10000")
)
def train(
    pipeline: PipelineFile,
    stage: Annotated[
        str,
        typer.Argument(metavar="STAGE", help="The stage to train.", autocompletion=_stages),
    ],
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Inputs with truth.")],
    held_out: Annotated[
        list[str], typer.Option("--held-out", metavar="FILE", help="For validation. Repeat.")
    ],
    folder: Annotated[
        Path, typer.Option("-o", "--output", help="Folder of weights, checkpoints and curves.")
    ] = Path("runs"),
    overrides: Overrides = [],  # noqa: B006
    schedule: Annotated[
        list[str],
        typer.Option(
            "--schedule", metavar="KEY=VALUE", help="steps, batch_size, learning_rate... Repeat."
        ),
    ] = [],  # noqa: B006
    start_from: Annotated[
        str | None,
        typer.Option(metavar="WEIGHTS", help="Go on from these: shipped ones by name, or a file."),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; 0: all cores.")] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Share each batch: one per GPU, or one per core of a CPU.")
    ] = 1,
) -> None:
    """Train a stage; goes on where an interrupted training stopped."""
    from reco.cli.train import train_files

    overrides = overrides + _settings(device=device, threads=threads)
    inputs = (files, held_out, folder)
    train_files(pipeline, stage, *inputs, overrides, schedule, start_from, processes)


@app.command(
    epilog=_examples(
        "evaluate out.h5 --all",
        "evaluate out.h5 --json figures.json --no-baselines",
        "evaluate out.h5 --report page",
    )
)
def evaluate(
    output: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Written by `reco run`.")],
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Also write the figures here.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="DIR",
            help="Also write a page of figures (needs lartpc-reco[view]).",
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option(help="Also run the simple methods on the same events.")
    ] = True,
    whole: Annotated[
        bool, typer.Option("--all", help="Print every figure, matrix and curve.")
    ] = False,
) -> None:
    """Compare an output with its truth: the field's metrics, as a table of those that count."""
    from reco.cli.evaluate import evaluate_file

    evaluate_file(output, json, report, baselines, whole)


@app.command(
    epilog=_examples(
        "view out.h5 --event 3",
        "view out.h5 --browse --port 8081",
    )
)
def view(
    file: Annotated[Path, typer.Argument(metavar="OUTPUT", help="Written by `reco run`.")],
    event: Annotated[int, typer.Option(min=0, help="Position in the file, from 0.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="HTML", help="[OUTPUT_eventN.html]"),
    ] = None,
    browse: Annotated[
        bool, typer.Option("--browse", help="Serve all events to a browser on this machine.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Of --browse; 0: any that is free.")
    ] = 8080,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a page.")] = False,
) -> None:
    """Show an event in 3D: a page that needs no network (`pip install lartpc-reco[view]`)."""
    from reco.cli.view import browse_file, view_event

    if browse:
        browse_file(file, port, event)
    else:
        typer.echo(f"written to {view_event(file, event, output, overwrite)}")


@app.command(epilog=_examples("doctor"))
def doctor() -> None:
    """Say what this machine offers, and how to get the rest. Exit code 1: something is broken."""
    from reco.cli.doctor import examine

    raise typer.Exit(examine())


weights = typer.Typer(help="Files of weights.", no_args_is_help=True)
app.add_typer(weights, name="weights")


@weights.command("show", epilog=_examples("weights show segment"))
def show_weights(
    file: Annotated[str, typer.Argument(metavar="WEIGHTS", help="A file, or a shipped name.")],
) -> None:
    """Say what a file of weights is, and how it was trained."""
    from reco.cli.weights import describe

    typer.echo("\n".join(describe(file)))


@weights.command(
    "widen", epilog=_examples("weights widen segment --filters 32 -o wide.safetensors")
)
def widen_weights(
    file: Annotated[str, typer.Argument(metavar="WEIGHTS", help="A file, or a shipped name.")],
    filters: Annotated[int, typer.Option(max=4096, help="Of the backbone, more than before.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="SAFETENSORS", help="File to write.")
    ],
    seed: Annotated[int, typer.Option(help="Of the parts that copies of a channel get.")] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output.")] = False,
) -> None:
    """Give the backbone more filters, and let the graph networks read them: weights that answer as
    before, for `reco train --start-from`."""
    from reco.cli.weights import widen_file

    typer.echo(widen_file(file, filters, seed, output, overwrite))


@weights.command(
    "import",
    epilog=_examples("weights import snapshot-9999.ckpt -o uresnet.safetensors --slope 0.33"),
)
def import_weights(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="Of SPINE or lartpc_mlreco3d.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="SAFETENSORS", help="File to write.")
    ],
    prefix: Annotated[
        str | None, typer.Option(help="Names of the U-Net's tensors up to `encoder.` [found].")
    ] = None,
    slope: Annotated[float, typer.Option(help="Of its leaky ReLU.")] = 0.33,
    eps: Annotated[float, typer.Option(help="Of its batch normalization.")] = 1e-4,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output.")] = False,
) -> None:
    """Take over the U-Net of another program's checkpoint; its configuration has slope and eps."""
    from reco.cli.weights import import_file

    typer.echo("\n".join(import_file(checkpoint, output, prefix, slope, eps, overwrite)))
