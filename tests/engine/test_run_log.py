"""`run.log`: what happened in all runs into an output, without secrets, of limited size."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

import pytest

import mminf
from mminf import limits
from mminf.engine.run_log import copy_log, file_log, run_log
from mminf.errors import EngineError, RecipeError

from ..stores import files_of

Recipe = Callable[[str], Path]
Rows = Callable[..., Path]
KEEP = "name: small\nsource: {jsonl: rows.jsonl}\nsteps: [keep: n > 1]\nsinks: [jsonl: o.jsonl]\n"
ASK = """
name: asks
max_same_failures: null
engines: {s: {backend: scripted, script: SCRIPT}}
source: {jsonl: rows.jsonl}
steps:
  - generate: {name: ask, engine: s, prompt: '{{ q }}'}
  - deduplicate: {reads: q}
sinks: [jsonl: o.jsonl]
"""


def messages(output: Path, name: str = "run.log") -> list[str]:
    """The messages of a log, without their times; every line has a time, or belongs to the line before."""
    found = (output / name).read_text().splitlines()
    assert all(re.match(r"(?:.*: )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} [A-Z]+ |    ", line) for line in found), found
    return [re.sub(r"^\S+ \S+ ([A-Z]+) +", r"\1 ", line) for line in found]


def test_a_run_from_its_beginning_to_its_end(write_recipe: Recipe, rows: Rows, tmp_path: Path) -> None:
    rows({"id": "1", "q": "a"}, {"id": "2", "q": "a"}, {"id": "3", "q": "bad 7"})
    (tmp_path / "s.py").write_text(
        "def answer(r):\n    if 'bad' in r.turns[0].text: raise ValueError('no 7')\n    return 'x'\n"
    )
    recipe = write_recipe(ASK.replace("SCRIPT", f"{tmp_path}/s.py"))
    mminf.run(recipe, output=tmp_path / "out")
    found = messages(tmp_path / "out")
    assert found[0].startswith(f"INFO run 1 of recipe asks ({recipe}) begins: process {os.getpid()} on ")
    assert found[1].startswith("INFO versions: python 3.") and f"mminf {mminf.__version__}" in found[1]
    assert found[2] == f"INFO output {tmp_path}/out, 3 source records, seed 0"
    wanted = [
        "INFO engine s: scripted (scripted)",
        "INFO stage 1, record by record: ask",
        "INFO loading scripted (scripted)",
        "INFO loaded scripted in 0.0 s",
        "INFO stage 2, over all records: deduplicate",
        "INFO unloaded scripted",
        f"INFO dataset {tmp_path}/out/o.jsonl: 1 row",
        "WARNING 1 row failed at ask: scripted: no …",
        "INFO 1 row dropped at deduplicate: duplicate of …",
    ]
    assert found[3:-1] == wanted
    assert re.fullmatch(
        r"INFO run 1 finished after \d\.\d s: 1 row done, 1 dropped, 1 failed; 2 calls in all runs", found[-1]
    )


def test_what_the_checks_found_is_in_the_log(write_recipe: Recipe, rows: Rows, tmp_path: Path) -> None:
    rows({"n": 2, "photo": "a.png"})
    recipe = write_recipe(KEEP.replace("[keep: n > 1]", "[{set: {photo: '1'}}, keep: n > 1]"))
    for run in range(2):
        mminf.run(recipe, output=tmp_path / "out")
        assert sum("column photo of the input is overwritten" in line for line in messages(tmp_path / "out")) == run + 1
    first, unseen, second, *_ = messages(tmp_path / "out")
    assert first == "INFO images are in column photo"
    assert unseen.startswith("INFO nothing opens the images of the records: ")
    assert second.startswith("INFO column photo of the input is overwritten by step set; ")


def test_a_script_without_logging_prints_warnings(write_recipe: Recipe, rows: Rows, tmp_path: Path) -> None:
    """pytest has handlers of its own, so that this needs a process."""
    rows({"n": 2}, {"n": 3})
    recipe = write_recipe(KEEP)
    script = f"""
import mminf
for limit in (None, 1):
    mminf.run({str(recipe)!r}, output={str(tmp_path / "out")!r}, limit=limit)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("the limit of 1 takes fewer records than the last run into ")


def test_later_runs_are_appended(write_recipe: Recipe, rows: Rows, tmp_path: Path) -> None:
    rows({"n": 1}, {"n": 2})
    for _ in range(3):
        mminf.run(write_recipe(KEEP), output=tmp_path / "out")
    begun = [line for line in messages(tmp_path / "out") if " begins: " in line]
    assert [line.split()[2] for line in begun] == ["1", "2", "3"]
    assert mminf.status(tmp_path / "out")["log"] == "run.log"


@pytest.mark.parametrize("failure", ["raise KeyError('lost')", "raise SystemError('broken')"])
def test_why_a_run_ended_with_an_error(write_recipe: Recipe, rows: Rows, tmp_path: Path, failure: str) -> None:
    rows(*({"q": f"q{number}"} for number in range(30)))
    (tmp_path / "s.py").write_text(f"def answer(r): {failure}\n")
    recipe = ASK.replace("SCRIPT", f"{tmp_path}/s.py").replace("max_same_failures: null", "max_same_failures: 3")
    with pytest.raises(EngineError):
        mminf.run(write_recipe(recipe), output=tmp_path / "out")
    (last,) = [line for line in messages(tmp_path / "out") if line.startswith("ERROR")]
    assert last.startswith("ERROR the run ends with an error: step 'ask' failed the first 3 records in the same way")


def test_a_bug_is_logged_with_its_traceback(tmp_path: Path) -> None:
    def crash() -> None:
        with run_log(tmp_path):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crash()
    found = messages(tmp_path)
    assert found[0] == "ERROR the run ends with an error"
    assert found[1] == "    Traceback (most recent call last):"
    assert found[-1] == "    ZeroDivisionError"


def test_an_interrupted_run(write_recipe: Recipe, rows: Rows, tmp_path: Path) -> None:
    rows(*({"q": f"q{number}"} for number in range(30)))
    (tmp_path / "s.py").write_text("def answer(r): return 'x'\n")
    recipe = ASK.replace("SCRIPT", f"{tmp_path}/s.py").replace("name: asks", "name: asks\nbudget: {calls: 5}")
    mminf.run(write_recipe(recipe), output=tmp_path / "out")
    last = messages(tmp_path / "out")[-1]
    assert "run 1 interrupted after " in last
    assert "25 source records pending; the budget of 5 calls" in last


class Records(logging.Handler):
    """A handler of a program that uses mminf."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


@pytest.mark.parametrize(
    ("root", "own", "said"),
    [
        (logging.WARNING, logging.NOTSET, False),
        (logging.INFO, logging.NOTSET, True),
        (logging.DEBUG, logging.ERROR, False),
    ],
)
def test_other_handlers_get_what_they_got_before(
    write_recipe: Recipe, rows: Rows, tmp_path: Path, root: int, own: int, said: bool
) -> None:
    rows({"q": "a"})
    (tmp_path / "s.py").write_text("def answer(r): return 'x'\n")
    recipe = write_recipe(ASK.replace("SCRIPT", f"{tmp_path}/s.py"))
    log, top, handler = logging.getLogger("mminf"), logging.getLogger(), Records()
    before = top.level, log.level
    top.addHandler(handler)
    top.setLevel(root)
    log.setLevel(own)
    try:
        mminf.run(recipe, output=tmp_path / "out")
        logging.getLogger("other").warning("of another library")
        assert (top.level, log.level) == (root, own)
    finally:
        top.removeHandler(handler)
        top.setLevel(before[0])
        log.setLevel(before[1])
    assert "INFO loading scripted (scripted)" in messages(tmp_path / "out")
    assert ("loading scripted (scripted)" in handler.said) is said
    assert not any("versions: " in line for line in handler.said), "only for the file"
    assert "of another library" in handler.said
    assert not handler.filters
    assert not [item for item in (*log.handlers, *file_log.handlers) if isinstance(item, RotatingFileHandler)]


def test_secrets_and_control_characters_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mminf.redact import keep_secret

    keep_secret("sk-abcdef0123456789")
    with run_log(tmp_path):
        logging.getLogger("mminf").warning("the server said %s", "\x1b[2J sk-abcdef0123456789\n2026-01-01 INFO forged")
        file_log.info("x" * 100_000)
    text = (tmp_path / "run.log").read_text()
    assert "abcdef" not in text and "\x1b" not in text
    assert "the server said \\u001b[2J ***\n    2026-01-01 INFO forged\n" in text
    assert len(text) < 12_000


def test_the_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMINF_LOG_BYTES", "20000")
    limits.read_again()
    for _ in range(3):
        with run_log(tmp_path):
            for number in range(400):
                file_log.info("message number %d", number)
    sizes = {name: len(data) for name, data in files_of(tmp_path).items()}
    assert set(sizes) == {"run.log", "run.log.1"}
    assert sum(sizes.values()) <= 20_000
    assert messages(tmp_path)[-1] == "INFO message number 399", "the newest lines are kept"


def test_a_log_that_can_not_be_written_does_not_stop_the_run(
    write_recipe: Recipe, rows: Rows, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows({"n": 2})
    (tmp_path / "out" / "run.log").mkdir(parents=True)
    assert mminf.run(write_recipe(KEEP), output=tmp_path / "out").counts.done == 1
    assert "the run has no log" in caplog.text
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "run.log").symlink_to(tmp_path / "mine.txt")
    assert mminf.run(write_recipe(KEEP), output=tmp_path / "linked").counts.done == 1
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_full_disk_prints_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    with run_log(tmp_path):
        (handler,) = [item for item in file_log.handlers if isinstance(item, RotatingFileHandler)]
        before = handler.setStream(Path("/dev/full").open("w"))  # noqa: SIM115
        file_log.info("lost")
        assert before is not None
        before.close()
    assert capsys.readouterr().err == ""


def test_the_name_is_reserved(write_recipe: Recipe) -> None:
    for name in ("run.log", "run.log.1", "RUN.LOG", "run.log/rows"):
        with pytest.raises(RecipeError, match="reserved for the run"):
            mminf.load(write_recipe(KEEP.replace("o.jsonl", name)))
    assert mminf.load(write_recipe(KEEP.replace("o.jsonl", "run.logs.jsonl")))


def test_logs_of_shards_are_added_at_the_merge(write_recipe: Recipe, rows: Rows, tmp_path: Path) -> None:
    rows(*({"n": number, "id": str(number)} for number in range(8)))
    recipe, output = write_recipe(KEEP), tmp_path / "out"
    for shard in ("0/2", "1/2"):
        mminf.run(recipe, output=output, shard=shard)
    assert not (output / "run.log").exists(), "only the leading process writes it"
    mminf.run(recipe, output=output)
    found = messages(output)
    for shard in ("0/2", "1/2"):
        own = [line for line in found if line.startswith(f"shard {shard}: ")]
        assert " begins: process " in own[0]
        assert f"shard {shard} finished after " in own[-1]
    assert found[-1].startswith("INFO run 1 finished") or found[-1].startswith("INFO run 2 finished")


def test_a_shard_in_the_leading_process_writes_to_the_log_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "shard").mkdir()
    with run_log(tmp_path):
        with run_log(tmp_path / "shard"):
            file_log.info("inside")
        file_log.info("outside")
    assert messages(tmp_path) == ["INFO inside", "INFO outside"]
    assert list((tmp_path / "shard").iterdir()) == []
    copy_log(tmp_path / "shard", "shard 0/1")


def test_a_refused_run_does_not_write_to_the_log_of_another(write_recipe: Recipe, rows: Rows, tmp_path: Path) -> None:
    from mminf.journal.lock import hold

    rows({"n": 2})
    with hold(tmp_path / "out"), pytest.raises(mminf.JournalError, match="another run"):
        mminf.run(write_recipe(KEEP), output=tmp_path / "out")
    assert not (tmp_path / "out" / "run.log").exists()


BUGGY = """
from mminf.step import Step, StepConfig, step


class BuggyConfig(StepConfig):
    writes: str = "out"


@step("crashing_in_log")
class Buggy(Step[BuggyConfig]):
    async def run(self, record, ctx):
        return {"out": 1 // int(record["n"])}
"""


@pytest.mark.usefixtures("own_plugins")
def test_a_bug_in_a_step_is_logged_once_with_its_traceback(write_recipe: Recipe, rows: Rows, tmp_path: Path) -> None:
    (tmp_path / "buggy.py").write_text(BUGGY)
    rows({"n": 0}, {"n": 0}, {"n": "x"}, {"n": 1}, {"m": 1})
    recipe = write_recipe(
        "name: small\nmax_same_failures: null\nplugins: [buggy.py]\nsource: {jsonl: rows.jsonl}\n"
        "steps: [{crashing_in_log: {}}]\nsinks: [jsonl: o.jsonl]\n"
    )
    assert mminf.run(recipe, output=tmp_path / "out").counts.failed == 4
    text = (tmp_path / "out" / "run.log").read_text()
    assert "record has no field 'n'; it has: m (buggy.py:12)" in [
        item["reason"] for item in mminf.list(tmp_path / "out")
    ]
    assert text.count("Traceback (most recent call last)") == 2, text
    assert text.count('return {"out": 1 // int(record["n"])}') == 2
    assert "no running event loop" not in text, "the run works in no handler of another exception"
    assert "ZeroDivisionError" in text and "ValueError: invalid literal" in text
