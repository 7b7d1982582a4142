"""Runs the classifier and the judges of Oasis over labelled texts, and prints how many results are right.

python scripts/check_prompts.py --engine '{backend: openai, model: qwen, base_url: "http://localhost:8000/v1"}'
python scripts/check_prompts.py --engine '{backend: vllm, model: Qwen/Qwen2.5-7B-Instruct}' --text-only
python scripts/check_prompts.py --engine '{backend: vllm, model: ...}' --vlm '{backend: vllm, model: ...}' --json

An interrupted run is resumed by the same command. See docs/prompts.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from prompt_figures import Reading, as_values, read_results, table, write_wrong
from prompt_texts import AXES, SCENE_AXES, TEXT_AXES, Case, draw_cases, read_texts

import mminf
from mminf import api

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code: 0, 1 if calls failed, 2 for an error, 130 after an interruption."""
    options = _parser().parse_args(arguments)
    try:
        return _check(options)
    except mminf.UsageError as error:
        print(f"check_prompts: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", metavar="YAML", help="engine of all steps; by default the engines of the recipe")
    parser.add_argument("--vlm", metavar="YAML", help="engine of the steps that see an image; by default --engine")
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--text-only", action="store_true", help="only the classifier and the nonsense judge")
    parts.add_argument("--scenes-only", action="store_true", help="only the judges that see an image")
    parser.add_argument("--output", type=Path, default=Path("out/prompts"), help="folder of the runs (out/prompts)")
    parser.add_argument("--recipe", default="oasis", help="a recipe with these steps: " + ", ".join(AXES))
    parser.add_argument("--profile", help="profiles of the recipe, such as `reasoned`")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the recipe")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    return parser


def _check(options: argparse.Namespace) -> int:
    axes = TEXT_AXES if options.text_only else SCENE_AXES if options.scenes_only else AXES
    options.output.mkdir(parents=True, exist_ok=True)
    cases = [] if options.scenes_only else read_texts()
    if not options.text_only:
        cases += draw_cases(options.output / "images")
    run = prepare(options, axes, cases)
    result = api.execute(run, progress=not options.quiet)
    readings = read_results(result.output, cases)
    failed = [reading for reading in readings if reading.failed]
    if result.state != "finished":
        print(f"check_prompts: {result.stopped or 'interrupted'}; the same command resumes the run", file=sys.stderr)
        return INTERRUPTED
    if len(failed) == len(readings):
        raise mminf.UsageError(f"no call to the model succeeded, so there are no figures: {failed[0].reason}")
    _report(options, result.output, readings)
    for axis in axes:
        _report_failures(axis, [reading for reading in failed if reading.case.axis == axis])
    return 1 if failed else 0


def prepare(options: argparse.Namespace, axes: Sequence[str], cases: Sequence[Case]) -> api.Run:
    """Returns the run over the cases.

    Its folder depends on the texts and on everything that the answers depend on, such as the model and the prompts.
    Therefore a change never mixes with older results.
    """
    rows = "".join(json.dumps(case.row(), ensure_ascii=False) + "\n" for case in cases)
    source = options.output / ("rows.jsonl" if axes == AXES else f"rows-{axes[0]}.jsonl")
    source.write_text(rows, encoding="utf-8")
    settings = [*_settings(options, axes), *options.set]
    recipe = mminf.load(options.recipe, input=source, profile=options.profile, settings=settings)
    fingerprint = api.prepare(recipe, output=options.output / "run").plan.stages[0].fingerprint
    key = hashlib.sha256(f"{fingerprint}\n{rows}".encode()).hexdigest()
    return api.prepare(recipe, output=options.output / f"run-{key[:12]}")


def _settings(options: argparse.Namespace, axes: Sequence[str]) -> list[str]:
    """Returns the settings that leave one step per axis, each for its own texts.

    A retry of an unreadable answer would hide that the prompt did not give a readable one.
    """
    names = [step.name for step in mminf.load(options.recipe, profile=options.profile).steps]
    if missing := [axis for axis in axes if axis not in names]:
        raise mminf.UsageError(f"recipe {options.recipe!r} has no step {missing[0]!r}; its steps: {', '.join(names)}")
    settings = [f"steps.{name}=false" for name in names if name not in axes]
    for axis in axes:
        settings += [f"steps.{axis}.when=axis == '{axis}'", f"steps.{axis}.attempts=1"]
    settings += ["sinks=[]", "target=null", "max_same_failures=null"]
    engines = {"llm": options.engine, "vlm": options.vlm or options.engine}
    return settings + [f"engines.{name}={engine}" for name, engine in engines.items() if engine is not None]


def _report(options: argparse.Namespace, output: Path, readings: Sequence[Reading]) -> None:
    wrong = output / "wrong.txt"
    number = write_wrong(wrong, readings)
    if options.json:
        print(json.dumps({"axes": as_values(readings), "wrong": str(wrong)}, indent=2))
        return
    print(table(readings))
    print(f"\n{number} of {len(readings)} results are wrong or inexact: {wrong}")


def _report_failures(axis: str, failed: Sequence[Reading]) -> None:
    if failed:
        print(
            f"check_prompts: {axis}: {len(failed)} calls failed and count as wrong; the same command retries them. "
            f"The first: {failed[0].reason}",
            file=sys.stderr,
        )


def _log_to_stderr() -> None:
    """Logs what the run does, as `mminf run` does."""
    log = logging.getLogger("mminf")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)


if __name__ == "__main__":
    if "--quiet" not in sys.argv:
        _log_to_stderr()
    code = main()
    sys.stdout.flush()
    if code == INTERRUPTED:
        # A thread may still load a model or run a batch. Exit without waiting for it or for its processes.
        api.end_children()
        os._exit(code)
    sys.exit(code)
