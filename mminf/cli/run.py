"""`mminf run`."""

from __future__ import annotations

import itertools
import logging
import os
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from mminf.cli.options import (
    FORCE,
    IMAGE_ROOT,
    INPUT,
    LIMIT,
    OUTPUT,
    PLUGIN,
    PROFILE,
    QUIET,
    RECIPE,
    SEED,
    SET,
    load_options,
)
from mminf.cli.terminal import echo_wrapped
from mminf.executor.options import read_options
from mminf.layout import amount
from mminf.states import RunState

if TYPE_CHECKING:
    from mminf.engine.counts import Counts
    from mminf.engine.result import RunResult
    from mminf.sink.base import Written


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("run")(run)


def run(
    recipe: Annotated[str, RECIPE],
    input: str | None = INPUT,  # noqa: A002 (what users call it)
    image_root: str | None = IMAGE_ROOT,
    output: str | None = OUTPUT,
    profile: str | None = PROFILE,
    settings: list[str] = SET,
    limit: int | None = LIMIT,
    seed: int | None = SEED,
    plugins: list[str] = PLUGIN,
    shard: str | None = typer.Option(
        None, "--shard", help="i/n: run only shard i of n, counted from 0; `mminf merge` merges the shards."
    ),
    executor: str = typer.Option("local", "--executor", help="local, or ray: run shards as tasks of a Ray cluster."),
    address: str | None = typer.Option(None, "--address", help="Address of Ray's head node, as host:port, or auto."),
    workers: int | None = typer.Option(
        None, "--workers", min=1, help="Number of Ray actors; by default as many as the GPUs can run, or one per node."
    ),
    shards: int | None = typer.Option(
        None, "--shards", "--parts", min=1, help="Number of shards for Ray; by default four per worker."
    ),
    force: bool = FORCE,
    quiet: bool = QUIET,
) -> None:
    """Run a recipe, or resume an interrupted run.

    Examples:

        mminf run oasis --input my_images/ --output out/oasis

        mminf run recipes/oasis.yaml --profile demo --set steps.hook.n=2 --limit 100

        NPROC_PER_NODE=8 mminf run oasis --input my_images/ --output out/oasis

        mminf run oasis --input my_images/ --output /shared/oasis --executor ray --address auto
    """
    from mminf import api
    from mminf.executor import torchrun
    from mminf.executor.choice import choose_executor

    options = read_options(executor, shard, address, workers, shards)
    if (launch := torchrun.find_launch(os.environ, option=options.named)) is not None:
        raise typer.Exit(launch.start(sys.argv[1:]))
    rank = torchrun.find_rank(os.environ)
    shown = not quiet and (rank is None or rank.rank == 0)
    if not shown:
        logging.getLogger("mminf").setLevel(logging.ERROR if quiet else logging.WARNING)
    loaded = api.load(recipe, **load_options(input, profile, settings, seed, plugins, image_root))
    prepared = api.prepare(loaded, output=output, limit=limit, force=force)
    if shown:
        for line in [*([loaded.run.note] if loaded.run.note else []), *prepared.warnings()]:
            echo_wrapped(f"note: {line}", indent="  ", err=True)
    result = api.execute(prepared, executor=choose_executor(options, rank), progress=shown)
    if shown:
        print_result(result)
    elif quiet:
        # The dataset with the expected name is not that of this run.
        for line in itertools.chain.from_iterable(_kept_for(result, written) for written in result.written):
            echo_wrapped(line.strip(), indent="  ", err=True)
    sys.stdout.flush()
    sys.stderr.flush()
    if result.state is RunState.INTERRUPTED:
        # A thread may still load a model or run a batch. Exit without waiting for it or for its processes.
        api.end_children()
        os._exit(result.exit_code)
    raise typer.Exit(result.exit_code)


def print_result(result: RunResult) -> None:
    """Prints the result of a run, and the command to run next."""
    counts = result.counts
    what = f"shard {result.shard} " if result.shard is not None else ""
    waiting = f", {counts.waiting:,} waiting for the next step over all records" if counts.waiting else ""
    pending = f"; {amount(counts.pending, 'source record')} pending" if counts.pending else ""
    echo_wrapped(
        f"{what}{result.state}: {amount(counts.done, 'row')} done, {counts.dropped:,} dropped, {counts.failed:,} failed"
        f"{waiting}{pending}",
        indent="  ",
    )
    for line in [*_datasets(result), *_outdated(result), *_failures(result)]:
        echo_wrapped(line, indent="    ")
    if (advice := _what_next(result)) is not None:
        echo_wrapped(advice, indent="  ")


def _datasets(result: RunResult) -> Iterator[str]:
    for written in result.written:
        less = f" ({written.before:,} before)" if written.before and written.before > written.rows else ""
        yield f"  {result.output / written.path}: {amount(written.rows, 'row')}{less}"
        yield from _kept_for(result, written)
        if written.left_out:
            listed = "; run.log lists them" if written.left_out > 1 else ""
            yield f"  {amount(written.left_out, 'record')} left out, such as {written.example}{listed}"


def _kept_for(result: RunResult, written: Written) -> Iterator[str]:
    if written.kept is not None:
        yield (
            f"  {result.output / written.kept} was kept: it has more rows, and records that it had may have failed in "
            "this run, or lack a field; `mminf run` with --force replaces it"
        )


def _outdated(result: RunResult) -> Iterator[str]:
    """Yields which pages about an earlier run are next to datasets with another number of rows."""
    from mminf.storage import is_remote  # imported by every run

    if is_remote(result.output) or all(written.before in (None, written.rows) for written in result.written):
        return
    for name, command in (("report.html", "report"), ("README.md", "card")):
        if (path := result.output / name).is_file() and "mminf" in path.read_text(encoding="utf-8", errors="replace"):
            yield f"  {path} is of an earlier run: `mminf {command} {result.output}` writes it again"


def _failures(result: RunResult) -> Iterator[str]:
    from mminf.reasons import tell_failure

    failed = result.counts.failed
    for failure in result.failures:
        yield f"  {tell_failure(failure.step, failure.id, failure.reason)}"
    if failed > len(result.failures):
        yield f"  and {failed - len(result.failures):,} more"
    if failed:
        yield f"  to list all failures: mminf list {result.output} --failed"
        if result.failures and result.failures[0].step != "source":
            shown = shlex.quote(result.failures[0].id)
            yield f"  to see the prompts and answers of one: mminf show {result.output} {shown}"
        yield (
            "  to try them again, once the cause is removed: run again, "
            f"after `mminf retry {result.output}` if answers of a model were the cause"
        )
    if result.counts.dropped:
        yield f"  to see why records were dropped: mminf status {result.output}"


def _is_empty(counts: Counts) -> bool:
    return not (counts.done or counts.dropped or counts.failed or counts.waiting or counts.pending)


def _what_next(result: RunResult) -> str | None:
    if result.stopped is not None:
        return (
            f"{result.stopped}; progress is saved. Run the same command with a larger budget to resume, or write the "
            f"datasets now: `mminf export RECIPE --output {result.output}`"
        )
    if result.state is RunState.INTERRUPTED:
        return f"progress is saved ({result.calls} model calls); run the same command to resume"
    if result.state is RunState.WAITING:
        return "run each shard again to continue, then merge again"
    if result.shard is None and _is_empty(result.counts):
        return "the input has no records"
    if result.shard is not None:
        return "when all shards are finished, run `mminf merge` with the same options"
    return None
