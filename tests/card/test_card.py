"""`mminf card`: README.md and recipe.resolved.yaml of real runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.card.header import CardOptions, check_header, size_category
from mminf.card.write import mark_card, parse_card
from mminf.cli.main import app
from mminf.errors import JournalError, OutputError
from mminf.journal import Journal
from mminf.redact import keep_secret

from .conftest import Run
from .reading import card_of, header_of, table


def test_the_header_says_what_hubs_need(run: Run) -> None:
    output = run()
    result = CliRunner().invoke(app, ["card", str(output), "--license", "cc-by-4.0"])
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [f"{output}/README.md", f"{output}/recipe.resolved.yaml"]
    assert header_of(output) == {
        "pretty_name": "drawings",
        "license": "cc-by-4.0",
        "language": ["en"],
        "size_categories": ["n<1K"],
        "task_categories": ["image-text-to-text", "visual-question-answering"],
        "tags": ["synthetic", "mminf", "drawings"],
        "configs": [
            {"config_name": "chats", "data_files": [{"split": "train", "path": "chats.jsonl"}], "default": True},
            {"config_name": "unclear", "data_files": [{"split": "train", "path": "unclear.jsonl"}]},
        ],
    }
    card = (output / "README.md").read_text()
    assert check_header(card, ["README.md", "chats.jsonl", "unclear.jsonl"]) == []


def test_counts_and_funnel(run: Run) -> None:
    card = card_of(run())
    assert dict(map(tuple, table(card, "## Counts")[2:])) == {  # type: ignore[arg-type]
        "source records": "20",
        "records with an outcome": "20",
        "kept": "12 (60.0 %)",
        "dropped by a filter": "8",
        "failed": "0",
    }
    assert "The paper reports 40.0 % (a table)." in card
    funnel = table(card, "### Funnel")
    assert funnel[0] == ["step", "records", "dropped", "failed", "passed", "published"]
    assert funnel[2:] == [
        ["ask", "20", "0", "0", "100.0 %", "–"],
        ["clarity", "20", "0", "0", "100.0 %", "–"],
        ["keep", "20", "8", "0", "60.0 %", "50.0 %"],
        ["respond", "12", "0", "0", "100.0 %", "–"],
    ]
    sizes = {row[0]: row[2:] for row in table(card, "## Datasets")[2:]}
    assert sizes["`chats.jsonl`"][0] == "12" and sizes["`unclear.jsonl`"][0] == "8"
    assert sizes["`unclear.jsonl`"][3] == "records that the step keep dropped"


def test_recipe_models_and_seeds(run: Run, tmp_path: Path) -> None:
    (tmp_path / "models" / "our-judge").mkdir(parents=True)
    (tmp_path / "models" / "our-judge" / "README.md").write_text("---\nlicense: mit\n---\n# A judge\n")
    card = card_of(run())
    assert table(card, "## Models")[2:] == [
        [
            "[Qwen/Qwen2-VL-7B-Instruct](https://huggingface.co/Qwen/Qwen2-VL-7B-Instruct)",
            "see its page",
            "ask, respond",
        ],
        ["&lt;local>/our-judge", "mit", "clarity"],
    ]
    assert "- Seed of the run: 11. The seed of each model call is derived from it" in card
    assert ["ask", "temperature 0.7, top_p 0.9, max_tokens 1024"] in table(card, "## Recipe")
    assert "Questions about drawings (after a paper, arXiv 2503.08741)" in card
    assert "@article{zhang2025oasis," in card and "author = {Letian Zhang and Quan Cui and" in card
    assert f"mminf {mminf.__version__}" in card


def test_the_resolved_recipe(run: Run) -> None:
    output = run()
    api.card(output)
    text = (output / "recipe.resolved.yaml").read_text()
    assert text.startswith("# The recipe 'drawings' with its profile")
    found = yaml.safe_load(text)
    assert found["seed"] == 11 and [next(iter(step)) for step in found["steps"]] == [
        "generate",
        "score",
        "keep",
        "generate",
    ]
    assert found["steps"][0]["template"] == "Ask {{ text }}"
    assert found["steps"][0]["generate"]["sampling"]["top_p"] == 0.9
    assert found["source"]["jsonl"]["path"].endswith("rows.jsonl")


def test_no_path_of_this_machine_and_no_secret(run: Run, tmp_path: Path) -> None:
    keep_secret("hunter2-hunter2")
    more = f"""
note: "see {tmp_path}/notes.txt, and http://intern:8000/x hunter2-hunter2 https://api.example.com/v1?key=abcdefghijk"
"""
    output = run(more=more)
    api.card(output)
    for name in ("README.md", "recipe.resolved.yaml"):
        text = (output / name).read_text()
        for hidden in (str(tmp_path), str(tmp_path.parent), "hunter2", "intern:8000", "abcdefghijk", str(Path.home())):
            assert hidden not in text, (name, hidden)
    resolved = yaml.safe_load((output / "recipe.resolved.yaml").read_text())
    assert resolved["note"].startswith("see <local>/notes.txt, and http://<server>/x ***")
    assert resolved["engines"]["judge"]["model"] == "<local>/our-judge"
    assert "https://api.example.com" in resolved["note"]


# Cards that are there


def test_a_card_of_the_user_is_kept(run: Run) -> None:
    output = run()
    (output / "README.md").write_text("mine")
    result = CliRunner().invoke(app, ["card", str(output)])
    assert isinstance(result.exception, OutputError) and "mminf did not write it" in str(result.exception)
    assert (output / "README.md").read_text() == "mine" and not (output / "recipe.resolved.yaml").exists()
    assert CliRunner().invoke(app, ["card", str(output), "--force"]).exit_code == 0
    assert "# drawings" in (output / "README.md").read_text()


def test_a_card_that_was_changed_is_kept(run: Run) -> None:
    output = run()
    card = card_of(output)
    assert card_of(output) == card, "an unchanged one is replaced"
    (output / "README.md").write_text(card.replace("# drawings", "# Our drawings"))
    with pytest.raises(OutputError, match="changed since"):
        api.card(output)


def test_options_are_kept(run: Run) -> None:
    output = run()
    api.card(output, license="cc-by-4.0", languages=["de", "fr"], pretty_name="Drawings: a | set -->")
    before = header_of(output)
    assert (before["license"], before["language"]) == ("cc-by-4.0", ["de", "fr"])
    card = card_of(output)
    assert header_of(output) == before and "# Drawings: a \\| set -->" in card
    card_of(output, license="mit")
    assert header_of(output) == before | {"license": "mit"}


@pytest.mark.parametrize("text", ["", "x", "---\na: b\n---\n", "x\n<!-- mminf card {} -->\n", "<!-- mminf card { -->",
                                  "x\n<!-- mminf card [1] -->", 'x\n<!-- mminf card {"digest": 3} -->'])  # fmt: skip
def test_other_texts_are_not_ours(text: str) -> None:
    assert not parse_card(text).ours


def test_a_mark_is_read_again() -> None:
    options = CardOptions("mit", ("en",), "a --> b 漢字")
    found = parse_card(mark_card("# Card\n", options))
    assert found.ours and found.text.strip() == "# Card" and found.options == options
    assert not parse_card(mark_card("# Card\n", options).replace("# Card", "# Cart")).ours
    assert parse_card(mark_card("# Card\n", options).replace("\n", "\r\n").replace("\r\n", "\n")).ours


# Unusual runs


def test_an_unfinished_run_says_so(run: Run) -> None:
    output = run()
    with Journal(output, write=True) as journal:
        journal.meta.set_state(mminf_state("interrupted"))
        journal.meta.set("total", "50")
    card = card_of(output)
    assert (
        "**The run was not finished when this card was written** (state: interrupted, 30 source records pending)"
        in card
    )


def mminf_state(name: str) -> Any:
    from mminf.states import RunState

    return RunState(name)


def test_no_rows(run: Run) -> None:
    output = run(number=0)
    card = card_of(output)
    assert "**The datasets have no rows.**" in card
    header = header_of(output)
    assert "configs" not in header and "language" not in header and header["size_categories"] == ["n<1K"]
    assert "### Funnel" not in card and "How to load it" not in card


def test_all_records_dropped(run: Run) -> None:
    output = run(number=5, settings=["steps.keep=clarity >= 6"])
    card = card_of(output)
    assert [item["data_files"][0]["path"] for item in header_of(output)["configs"]] == ["unclear.jsonl"]
    assert "kept | 0 (0.0 %)" in card


def test_a_target(run: Run) -> None:
    card = card_of(run(number=40, more="target: 5"))
    counts = dict(map(tuple, table(card, "## Counts")[2:]))  # type: ignore[arg-type]
    assert counts["kept"].startswith("5 (")
    assert table(card, "### Funnel")[-1][1] == "5", "records after the target are not in the funnel"
    assert table(card, "## Datasets")[2][2] == "5"


def test_no_datasets(run: Run) -> None:
    output = run()
    for name in ("chats.jsonl", "unclear.jsonl"):
        (output / name).unlink()
    card = card_of(output)
    assert "There are no datasets." in card


def test_texts_only(run: Run) -> None:
    output = run(images=False)
    card = card_of(output)
    assert header_of(output)["task_categories"] == ["text-generation"]
    assert "images" not in card.split("## Limitations")[1].split("## Citation")[0]


def test_an_output_that_is_no_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["card", str(tmp_path)])
    assert isinstance(result.exception, JournalError)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(run: Run, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not a folder"):
        api.card(run(), datasets=tmp_path / "nothing")


def test_datasets_in_a_store(run: Run) -> None:
    with pytest.raises(OutputError, match="is in a store; write the datasets to a folder"):
        api.card(run(), datasets="memory://bucket/x")


def test_a_run_in_a_store(run: Run, memory: Any, tmp_path: Path) -> None:
    local = run()
    mminf.run(tmp_path / "drawings.yaml", output="memory://bucket/out")
    recipe = mminf.load(tmp_path / "drawings.yaml")
    with pytest.raises(OutputError, match="name it with --datasets FOLDER"):
        api.card("memory://bucket/out")
    api.export(recipe, "memory://bucket/out", to=tmp_path / "to")
    assert card_of_folder("memory://bucket/out", tmp_path / "to") == card_of(local)


def card_of_folder(output: str, folder: Path) -> str:
    api.card(output, datasets=folder)
    return (folder / "README.md").read_text()


def test_names_of_the_card_are_reserved(run: Run) -> None:
    for name in ("README.md", "readme.md", "recipe.resolved.yaml"):
        with pytest.raises(mminf.UsageError, match="is reserved for the run"):
            run(sinks=f"  - jsonl: {name}")


def test_properties_are_those_that_mminf_properties_measures(run: Run) -> None:
    output = run()
    card = card_of(output)
    (found,) = api.properties(output / "chats.jsonl").datasets
    lines = {name: values for name, *values in table(card, "### `chats.jsonl`")}
    words = found.instructions.words
    assert lines["texts"] == [f"{found.instructions.texts}", f"{found.responses.texts}"]
    assert lines["words"][0] == f"{words.mean:,.1f} ± {words.std:,.1f} ({words.least} to {words.most})"
    assert lines["exact duplicates"][0].endswith(f"% of {found.instructions.texts}")
    assert "Languages: en 100.0 %." in card and header_of(output)["language"] == ["en"]
    assert "unclear.jsonl`\n" not in card, "dropped records have no properties"


def test_markdown_of_names_and_descriptions_is_escaped(run: Run, tmp_path: Path) -> None:
    output = run()
    with Journal(output, write=True) as journal:
        recipe = journal.meta.recipe
        recipe["description"] = "a | b <script>alert(1)</script>\n# Title"
        journal.meta.set("recipe", json.dumps(recipe))
    card = card_of(output)
    assert "a \\| b &lt;script>alert(1)&lt;/script> # Title" in card and "\n# Title" not in card


@pytest.mark.parametrize(
    ("rows", "category"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (499_999, "100K<n<1M"), (10**13, "n>1T")]
)
def test_size_categories(rows: int, category: str) -> None:
    assert size_category(rows) == category


@pytest.mark.parametrize(
    ("card", "problem"),
    [
        ("# no header", "the card has no YAML header"),
        ("---\n- a\n---\n", "the header of the card can't be read"),
        ("---\na: [\n---\n", "the header of the card can't be read"),
        ("---\nlanguage: en\n---\n", "states no licence"),
        ("---\nlicense: CC BY 4.0\n---\n", "license: 'CC BY 4.0' is not an id"),
        ("---\nlicense: mit\nlanguage: [English]\n---\n", "language: 'English' is not a code"),
        ("---\nlicense: mit\n---\n", "lists no data files"),
        ("---\nconfigs:\n- config_name: a\n  data_files: b.jsonl\n---\n", "no file 'b.jsonl'"),
        ("---\nconfigs:\n- config_name: a\n  data_files:\n  - {split: train, path: ['x/*.jsonl']}\n---\n", "no file 'x/*.jsonl'"),
    ],
)  # fmt: skip
def test_problems_of_a_header(card: str, problem: str) -> None:
    assert any(problem in found for found in check_header(card, ["a.jsonl"])), check_header(card, ["a.jsonl"])
