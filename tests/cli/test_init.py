"""`mminf init`: a first recipe for any input, with models on a GPU, a server or the CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.content import builtin_recipes, find_recipe
from mminf.errors import MminfError
from mminf.input_summary import InputSummary, inspect_input
from mminf.recipe.lines import keep_in_section, load_document, replace_section
from mminf.starter import Where, fitting_recipes, write_starter

from .starting import has_hook, run
from .typed import error_of, output_of


def found(*fields: str, images: int = 0) -> InputSummary:
    return InputSummary({"jsonl": {"path": "x"}}, 2, 2, images, frozenset(fields), (0, ""), (0, ""))


@pytest.mark.parametrize(
    ("fields", "first", "others"),
    [
        (["images"], "oasis", {"caption_qa", "allava_session", "verifiable"}),
        (["images", "instruction"], "allava_vflan", {"preference", "prompt_evolve"}),
        (["images", "instruction", "response"], "match_score", {"allava_vflan"}),
        (["images", "instruction", "solution"], "verifiable_gold", {"allava_vflan"}),
        (["instruction"], "preference", {"allava_text"}),
    ],
)
def test_recipes_that_fit(fields: list[str], first: str, others: set[str]) -> None:
    names = [item.name for item in fitting_recipes(found(*fields, images=2 * ("images" in fields)))]
    assert names[:3].count(first) == 1 and others <= set(names), names
    assert ("images" in fields) or "oasis" not in names
    assert "magpie" not in names


def test_recipes_without_input() -> None:
    assert {item.name for item in fitting_recipes(None)} == {"magpie", "magpie_turns"}


@pytest.mark.parametrize("name", sorted(builtin_recipes()))
@pytest.mark.parametrize("where", list(Where))
def test_every_recipe_can_be_written(name: str, where: Where, tmp_path: Path) -> None:
    path = write_starter(name, tmp_path, None, where, url="http://localhost:1/v1", model="my/model-vl")
    before = api.load(name)
    recipe = api.load(path) if not (where is Where.SERVER and has_hook(before)) else None
    if recipe is not None:
        assert [step.name for step in recipe.steps] == [step.name for step in before.steps]
        backends = {config.backend for config in recipe.engines.values()} - {"encoder"}
        assert backends <= (
            {"openai"} if where is Where.SERVER else {"transformers"} if where is Where.CPU else {"vllm"}
        )
        assert recipe.run.limit == (10 if where is Where.CPU else before.run.limit)
    demo = api.load(path, profile="demo")
    assert {**demo.resolved(), "limit": None} == {**api.load(name, profile="demo").resolved(), "limit": None}
    text = path.read_text()
    asked = name == "oasis" and where is Where.SERVER
    assert list(load_document(path).data["profiles"]) == (["asked", "demo"] if asked else ["demo"])
    command = next(line for line in find_recipe(name).read_text().splitlines() if line.startswith("#   mminf run"))
    assert command not in text, "it runs the bundled recipe"
    assert all(line in text for line in path.read_text().splitlines() if line.startswith("  - "))


def test_from_photos_to_the_first_row_over_a_server(photos: Path, tmp_path: Path) -> None:
    text = run(str(tmp_path / "mine"), "--input", str(photos), "--server", "http://localhost:1/v1", "--model", "m")
    path = tmp_path / "mine" / "caption_qa.yaml"
    assert f"wrote {path}" in text and f"mminf preview {path}\n" not in text and f"mminf preview {path}" in text
    script = tmp_path / "play.py"
    script.write_text("def answer(request):\n    return 'What is the colour of the image? ' * 3\n")
    scripted = {f"engines.{name}": {"backend": "scripted", "script": str(script)} for name in api.load(path).engines}
    shown = api.preview(api.prepare(api.load(path, overrides=scripted), output=tmp_path / "out"), records=1)
    assert shown[0].steps, "the recipe reads the photos"


def test_what_the_input_contains_is_told(tmp_path: Path, rows: Callable[..., Path]) -> None:
    path = rows({"id": "a", "instruction": "What?", "response": None}, {"id": "b", "instruction": "Who?", "images": []})
    path.write_text(path.read_text() + "not json\n")
    text = run(str(tmp_path / "m"), "--input", str(path), "--gpu")
    assert "0 of 2 have images" in text and "fields: instruction\n" in text and "1 row can't be read" in text
    assert api.load(tmp_path / "m" / "preference.yaml").source.config.path == path  # type: ignore[union-attr]


def test_images_that_can_not_be_opened_are_told(photos: Path, tmp_path: Path) -> None:
    (photos / "cut.png").write_bytes((photos / "0.png").read_bytes()[:60])
    (photos / "page.jpg").write_text("<html>not found</html>")
    said = " ".join(run(str(tmp_path / "new"), "--input", str(photos), "--cpu").split())
    assert "2 images can't be opened, such as image" in said and "cut.png" in said
    (photos / "cut.png").unlink()
    (photos / "page.jpg").unlink()
    assert "can't be opened" not in run(str(tmp_path / "other"), "--input", str(photos), "--cpu")


def test_texts_become_the_field_that_the_recipe_reads(tmp_path: Path) -> None:
    (tmp_path / "seeds.txt").write_text("a cat\na dog\n")
    run(str(tmp_path / "m"), "--input", str(tmp_path / "seeds.txt"), "--gpu")
    assert api.load(tmp_path / "m" / "unicorn.yaml").source.config.field == "seed"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--input", "nothing"], "no such file"),
        (["--gpu", "--cpu"], "choose one of"),
        (["--server", "http://x/v1"], "--model NAME"),
        (["--server", "x/v1", "--model", "m"], "--server: an address must have the form http://host:port/v1"),
        (["--recipe", "oasi", "--gpu"], "did you mean 'oasis'"),
        (["--gpu", "--recipe", "magpie", "--model", "./gone"], "--model ./gone: no such folder"),
        (["--cpu", "--recipe", "magpie", "--text-model", "/gone/model"], "--text-model /gone/model: no such folder"),
    ],
)
def test_errors_say_what_to_do(arguments: list[str], error: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["init", str(tmp_path / "m"), *arguments])
    assert isinstance(result.exception, MminfError) and error in str(result.exception)


def test_an_input_without_a_readable_record(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("[1]\n{\n")
    with pytest.raises(MminfError, match=r"no record that can be read: bad.jsonl:1|is not"):
        inspect_input(str(tmp_path / "bad.jsonl"))


def test_a_recipe_is_not_replaced(photos: Path, tmp_path: Path) -> None:
    run(str(tmp_path / "m"), "--input", str(photos), "--gpu")
    path = tmp_path / "m" / "oasis.yaml"
    path.write_text("mine")
    result = CliRunner().invoke(app, ["init", str(tmp_path / "m"), "--input", str(photos), "--gpu"])
    assert f"{path} exists" in str(result.exception) and path.read_text() == "mine"
    run(str(tmp_path / "m"), "--input", str(photos), "--gpu", "--force")
    assert path.read_text() != "mine"


@pytest.mark.parametrize(
    ("text", "key", "new", "wanted"),
    [
        ("a: 1\nb:\n  c: 2\n# of d\nd: 3\n", "b", "b: 9\n", "a: 1\nb: 9\n# of d\nd: 3\n"),
        ("a: 1\nb:\n  - x\n\n  # inside\n  - y\n", "b", "", "a: 1\n"),
        ("a: 1\n", "b", "b: 2\n", "a: 1\n"),
        ("b: {x: 1}\na: 1", "b", "b: 2\n", "b: 2\na: 1"),
    ],
)
def test_sections_are_replaced(text: str, key: str, new: str, wanted: str) -> None:
    assert replace_section(text, key, new) == wanted


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ({"demo"}, "a: 1\np:\n  # of demo\n\n  # more\n  demo:\n    # inside\n    x: 1\n# of b\nb: 2\n"),
        ({"one", "last"}, "a: 1\np:\n  one: {x: 2}\n  # of last\n  last:\n  - y\n# of b\nb: 2\n"),
        ({"none"}, "a: 1\n# of b\nb: 2\n"),
    ],
)
def test_parts_of_a_section_are_kept_with_their_comments(names: set[str], wanted: str) -> None:
    section = (
        "p:\n  one: {x: 2}\n  # of demo\n\n  # more\n  demo:\n    # inside\n    x: 1\n  # of last\n  last:\n  - y\n"
    )
    text = f"a: 1\n{section}# of b\nb: 2\n"
    assert keep_in_section(text, "p", names) == wanted
    assert keep_in_section("a: 1\n", "p", names) == "a: 1\n"


def test_the_next_commands_are_told(photos: Path, tmp_path: Path) -> None:
    text = run(str(tmp_path / "m"), "--input", str(photos), "--gpu")
    commands = [line for line in text.splitlines() if line.startswith("  mminf ")]
    assert [command.split()[1] for command in commands] == ["preview", "plan", "run", "report"]
    text = run(str(tmp_path / "m"), "--input", str(photos), "--cpu", "--force")
    assert f"mminf preview {tmp_path / 'm' / 'oasis.yaml'} --profile demo" in text


def test_recipes_that_fit_with_a_column_renamed_are_told(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("image,question\nphotos/0.png,What is it?\n")
    text = " ".join(output_of("init", str(tmp_path / "m"), "--input", str(path), "--cpu").split())
    names = text.partition("with a column renamed, ")[2].partition(" would fit too")[0].split(", ")
    assert {"allava_vflan", "prompt_evolve", "preference"} <= set(names)
    assert "add `--column instruction=question --recipe NAME`" in text
    path.write_text("image,instruction\nphotos/0.png,What is it?\n")
    assert "renamed" not in output_of("init", str(tmp_path / "n"), "--input", str(path), "--cpu")


def test_misspelt_columns_are_connected_with_fields(tmp_path: Path, rows: Callable[..., Path]) -> None:
    path = rows({"instrution": "What?", "anser": "4"})
    error = error_of("init", str(tmp_path / "m"), "--input", str(path), "--cpu")
    assert "no bundled recipe fits this input; with a column renamed, " in error
    assert "`--column instruction=instrution --recipe NAME`" in error
    error = error_of("init", str(tmp_path / "m"), "--input", str(path), "--cpu", "--recipe", "thinking")
    assert "it needs answer, instruction, images; try `--column answer=anser --column instruction=instrution`" in error
    error = error_of("init", str(tmp_path / "m"), "--input", str(path), "--cpu", "--column", "instruction=instruton")
    assert "`columns` names what the rows don't have: 'instruton'; did you mean 'instrution'?" in error
    assert "reads a field from a column of another name" not in error.partition("--column")[2]
    path = rows({"Instruction ": "What?", "answer": "a", "images": "photos/0.png"})
    error = error_of("init", str(tmp_path / "m"), "--input", str(path), "--cpu", "--recipe", "thinking")
    assert "try `--column 'instruction=Instruction '`" in error
    output_of(
        "init",
        str(tmp_path / "m"),
        "-i",
        str(path),
        "--cpu",
        "--recipe",
        "thinking",
        "--column",
        "instruction=Instruction ",
    )
    path = rows({"instruction": "What?", "resolution": "336x336"})
    assert "solution=" not in output_of("init", str(tmp_path / "s"), "-i", str(path), "--cpu")
    path = rows({"zzz": "What?"})
    assert "try `--column" not in error_of("init", str(tmp_path), "-i", str(path), "--cpu", "--recipe", "thinking")


def test_an_input_in_place_of_the_folder_is_told(tmp_path: Path, rows: Callable[..., Path]) -> None:
    path = rows({"id": "a", "instruction": "What?"})
    assert error_of("init", str(path), "--cpu").endswith(f"mminf init my_data --input {path}")


def test_a_recipe_that_does_not_fit_the_input_is_refused(photos: Path, tmp_path: Path) -> None:
    for name in ("magpie", "thinking", "mammoth_vl"):
        error = error_of("init", str(tmp_path / name), "--input", str(photos), "--cpu", "--recipe", name)
        assert f"recipe {name!r} does not fit this input" in error
        assert not (tmp_path / name).exists()
    assert "it needs answer, instruction; `mminf recipes NAME` lists" in error
    assert "columns" not in error, "an image folder has none"
    assert "did you mean 'oasis'" in error_of(
        "init", str(tmp_path / "x"), "--input", str(photos), "--recipe", "oasi", "--cpu"
    )


def test_records_that_lack_a_field_do_not_rule_a_recipe_out(tmp_path: Path, photos: Path) -> None:
    """One empty cell of a table would: these records fail alone, each with a reason."""
    table = tmp_path / "rows.csv"

    def write(images: list[str]) -> None:
        lines = [f"{number},{image},a cat" for number, image in enumerate(images)]
        table.write_text("\n".join(["id,image,caption", *lines]) + "\n")

    write([f"{photos}/0.png"] * 4 + [""])
    said = run(str(tmp_path / "m"), "--input", str(table), "--cpu")
    assert "note: no images in 1 of the first 5 records: such records will fail" in said
    assert "oasis" in said and (tmp_path / "m").is_dir()
    write([f"{photos}/0.png"] + [""] * 4)
    few = run(str(tmp_path / "few"), "--input", str(table), "--cpu", "--recipe", "caption")
    assert "note: no images in 4 of the first 5 records" in few
    write([""] * 5)
    assert "it needs images" in error_of("init", str(tmp_path / "x"), "-i", str(table), "--cpu", "--recipe", "caption")


def test_a_machine_without_a_gpu_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for found, told in ((False, True), (True, False)):
        monkeypatch.setattr("mminf.starter.may_have_gpu", lambda found=found: found)
        text = output_of("init", str(tmp_path / str(found)), "--gpu", "--recipe", "magpie")
        assert ("no GPU was found" in text) is told


def test_a_profile_of_the_bundled_recipe_is_named(tmp_path: Path) -> None:
    path = write_starter("caption", tmp_path, None, Where.GPU)
    path.write_text(replace_section(path.read_text(), "profiles", ""))
    assert error_of("validate", str(path), "--profile", "demo").endswith(
        "no profile 'demo'; the recipe has no profiles; the bundled recipe has it: mminf run caption --profile demo"
    )
    assert "the bundled recipe has it" not in error_of("validate", str(path), "--profile", "other")


def test_the_command_that_renames_columns_works(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("photo,question,note\nphotos/0.png,What is it?,\nphotos/1.png,Who is it?,hm\n")
    text = " ".join(run(str(tmp_path / "first"), "--input", str(tmp_path / "rows.csv"), "--cpu").split())
    assert "rows.csv: 2 records" in text and "fields: photo, question, note (1 of 2)" in text
    error = error_of("init", str(tmp_path / "x"), "--input", str(tmp_path / "rows.csv"), "--recipe", "allava_vflan")
    assert "it needs instruction; " in error
    assert "try `--column instruction=question`" in error


def test_columns_are_renamed_and_images_found(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("photo,question\n0.png,What is it?\n1.png,Who is it?\n")
    given = [str(tmp_path / "m"), "--input", str(tmp_path / "rows.csv"), "--cpu", "--recipe", "allava_vflan"]
    rename = ["--column", "instruction=question", "--column", "image=photo"]
    assert "2 images can't be opened" in (text := " ".join(output_of("init", *given, *rename).split()))
    assert "--image-root names their folder" in text
    (tmp_path / "gone.csv").write_text("photo,question\nnope.png,What is it?\n")
    more = ["--image-root", str(photos), "--force"]
    text = " ".join(output_of("init", given[0], "-i", str(tmp_path / "gone.csv"), *given[3:], *rename, *more).split())
    assert "1 image can't be opened" in text and "--image-root names" not in text, "it is given"
    text = output_of("init", *given, *rename, "--image-root", str(photos), "--force")
    assert "can't be opened" not in text and "fields: instruction" in text
    loaded = mminf.load(tmp_path / "m" / "allava_vflan.yaml")
    assert loaded.source is not None
    assert loaded.source.config.columns == {"instruction": ["question"], "image": ["photo"]}
    assert str(loaded.source.config.image_root) == str(photos)
    more = [*rename, "--column", "image=question", "--image-root", str(photos), "--force"]
    output_of("init", *given, *more)
    loaded = mminf.load(tmp_path / "m" / "allava_vflan.yaml")
    assert loaded.source is not None and loaded.source.config.columns["image"] == ["photo", "question"]
    assert "--image-root nowhere: no such folder" in error_of("init", *given, "--image-root", "nowhere")
    for wrong in ("instruction", "=x", "a="):
        assert "write FIELD=COLUMN" in error_of("init", *given, "--column", wrong)
    assert "renames columns of rows" in error_of("init", str(tmp_path / "n"), "-i", str(photos), "--column", "a=b")
    assert "need --input" in error_of("init", str(tmp_path / "n"), "--cpu", "--column", "a=b")


def test_where_the_models_run_is_told_and_asked_again(photos: Path, tmp_path: Path) -> None:
    assert "models: on the cpu, because the machine has no GPU (--cpu)" in run(
        str(tmp_path / "m"), "--input", str(photos)
    )
