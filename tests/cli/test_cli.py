from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import read_rows


def mminf(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mminf.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=cwd)


def options(settings: list[str]) -> list[str]:
    return [option for setting in settings for option in ("--set", setting)]


def test_help_and_version() -> None:
    found = mminf("--help")
    assert found.returncode == 0
    for command in (
        "run",
        "validate",
        "plan",
        "render",
        "status",
        "list",
        "show",
        "retry",
        "export",
        "steps",
        "recipes",
        "schema",
    ):
        assert f"\n  {command} " in found.stdout
    assert mminf("--version").stdout.startswith("mminf 0.")


def test_run_status_show(images: Path, scripted_oasis: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = mminf("run", "oasis", "-i", str(images), "-o", str(out), *options(scripted_oasis))
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("finished: ")
    assert f"{out}/oasis.jsonl: {len(read_rows(out / 'oasis.jsonl'))} rows" in found.stdout
    assert "12/12 source records" in found.stderr, "plain progress lines where it is no terminal"
    assert "Traceback" not in found.stderr
    status = json.loads(mminf("status", str(out), "--json").stdout)
    assert (status["state"], status["done"] + status["dropped"], status["pending"]) == ("finished", 12, 0)
    assert "finished" in mminf("status", str(out)).stdout
    record = str(read_rows(out / "oasis.jsonl")[0]["id"])
    shown = mminf("show", str(out), record)
    assert f"== hook of {record}" in shown.stdout
    assert shown.stdout.startswith(f"== {record}: done")


def test_quiet_prints_nothing(images: Path, scripted_oasis: list[str], tmp_path: Path) -> None:
    found = mminf("run", "oasis", "-q", "-i", str(images), "-o", str(tmp_path / "out"), *options(scripted_oasis))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
    assert "INFO    loading scripted" in (tmp_path / "out" / "run.log").read_text(), "the log has it"


def test_exit_1_if_nothing_was_done(images: Path, tmp_path: Path) -> None:
    for image in images.iterdir():
        image.write_bytes(b"broken")
    engine = "{backend: scripted, answer: x}"
    settings = [f"engines.vlm={engine}", f"engines.llm={engine}"]
    found = mminf("run", "oasis", "-i", str(images), "-o", str(tmp_path / "out"), *options(settings))
    assert found.returncode == 1
    assert "12 failed" in found.stdout
    assert "can't be decoded" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "oasi"], "no bundled recipe has this name; did you mean 'oasis'?"),
        (["run", "gone.yaml"], "gone.yaml: recipe file does not exist"),
        (["run", "oasis", "-i", "gone/"], "--input gone/: no such file or folder"),
        (["run", "oasis", "--profile", "dem"], "no profile 'dem'; did you mean 'demo'?"),
        (
            ["validate", "oasis", "--set", "steps.hook.n=0"],
            "--set steps.hook.n: step 'hook': n: must be at least 1",
        ),
        (["status", "gone"], "no run in gone"),
        (["render", "oasis", "hok", "--profile", "demo", "-i", "."], "no step 'hok'; did you mean 'hook'?"),
        (["run", "oasis", "--plugin", "gone.py"], "gone.py does not exist"),
        (["run", "oasis", "-i", "a", "--input", "b"], "--input is given twice; it takes one value"),
        (["plan", "oasis", "--limit", "1", "--limit", "2"], "--limit is given twice"),
        (["validate", "oasis", "--set", "steps.hook.n=1", "--set", "steps.hook.n=0"], "n: must be at least 1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_the_user_can_mend_exits_2_without_a_traceback(arguments: list[str], message: str, tmp_path: Path) -> None:
    found = mminf(*arguments, cwd=tmp_path)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_file_without_its_ending_is_found(tmp_path: Path) -> None:
    (tmp_path / "colour.yaml").write_text("name: colour\n")
    assert "there is a file colour.yaml" in mminf("run", "colour", cwd=tmp_path).stderr


def test_lists_schema_plan_doctor() -> None:
    assert "hook          Samples an instruction" in mminf("steps").stdout
    assert "oasis" in mminf("recipes").stdout
    assert json.loads(mminf("schema").stdout)["title"] == "mminf recipe"
    plan = mminf("plan", "oasis").stdout
    assert "2 model loads: vlm, llm" in plan
    assert "calls per record: at most 7" in plan
    assert "waits for classify, degenerate_instruction, refused_instruction, nonsense, solvability," in plan
    doctor = mminf("doctor").stdout
    assert "backend transformers: can run here" in doctor
    assert "backend lmdeploy: lmdeploy is not installed" in doctor


def test_new_plugin_runs_as_it_is_written(tmp_path: Path, rows: Callable[..., Path]) -> None:
    rows({"id": "1", "text": "loud"})
    assert mminf("new-plugin", "shout", cwd=tmp_path).returncode == 0
    found = mminf("run", "shout.yaml", "-o", "out", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert read_rows(tmp_path / "out" / "shout.jsonl") == [{"id": "1", "text": "loud", "shout": "LOUD"}]
    swapped = mminf("export", "out", "-o", "out", cwd=tmp_path)
    assert swapped.returncode == 2
    assert "out: this is the output of a run, not a recipe; give the recipe's file or name, with" in swapped.stderr
    again = mminf("new-plugin", "shout", cwd=tmp_path)
    assert (again.returncode, "exists already" in again.stderr) == (2, True)


def test_retry_and_export(images: Path, scripted_oasis: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    mminf("run", "oasis", "-i", str(images), "-o", str(out), *options(scripted_oasis))
    assert mminf("retry", str(out)).stdout == "no record has failed\n"
    sinks = "sinks=[{llava: {path: llava.jsonl, image_paths: relative}}]"
    found = mminf("export", "oasis", "-i", str(images), "-o", str(out), *options([*scripted_oasis, sinks]))
    assert found.returncode == 0, found.stderr
    row = read_rows(out / "llava.jsonl")[0]
    assert (out / str(row["image"])).is_file()


def test_an_embedding_step_is_rendered_as_its_text(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("a dog on a lawn\n")
    found = mminf("render", "unicorn", "embed", "--input", "captions.txt", cwd=tmp_path)
    assert (found.returncode, found.stdout.splitlines()[0]) == (0, "<caption>"), found.stderr


def test_pages_about_an_earlier_run_are_told(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": "a"}\n{"id": "b"}\n')
    (tmp_path / "r.yaml").write_text(
        "source: {jsonl: rows.jsonl}\nsteps: [{set: {a: '1'}}]\nsinks: [{jsonl: o.jsonl}]\n"
    )
    assert mminf("run", "r.yaml", "-o", "out", cwd=tmp_path).returncode == 0
    assert mminf("card", "out", cwd=tmp_path).returncode == 0
    assert "earlier run" not in mminf("run", "r.yaml", "-o", "out", cwd=tmp_path).stdout
    fewer = mminf("run", "r.yaml", "-o", "out", "--limit", "1", cwd=tmp_path).stdout
    assert "out/README.md is of an earlier run: `mminf card out` writes it again" in fewer
    (tmp_path / "out" / "README.md").write_text("my notes")
    assert "earlier run" not in mminf("run", "r.yaml", "-o", "out", cwd=tmp_path).stdout


def test_a_run_over_an_empty_input_says_so(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("image,text\n")
    (tmp_path / "r.yaml").write_text("source: {csv: rows.csv}\nsteps: [{set: {a: '1'}}]\nsinks: [{jsonl: o.jsonl}]\n")
    found = mminf("run", "r.yaml", "-o", "out", cwd=tmp_path)
    assert (found.returncode, found.stdout.splitlines()[-1]) == (1, "the input has no records")
