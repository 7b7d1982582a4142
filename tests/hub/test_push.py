"""`mminf push`, with hubs that are replaced at the boundary of their libraries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from typer.testing import CliRunner, Result

import mminf
from mminf import api
from mminf.cli.main import app
from mminf.errors import JournalError, OutputError, UsageError
from mminf.hub import hubs

from ..card.conftest import SINKS, Run
from ..conftest import read_rows, tiny_image
from .conftest import Uploaded

FILES = ["README.md", "chats.jsonl", "recipe.resolved.yaml", "unclear.jsonl"]


def push(output: Path, target: str, *options: str) -> Result:
    return CliRunner().invoke(app, ["push", str(output), target, *options])


def header_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = DatasetCard.load(folder / "README.md").data.to_dict()
    return found


def test_datasets_card_and_recipe_are_uploaded(run: Run, hub: Uploaded) -> None:
    output = run()
    before = sorted(output.iterdir())
    result = push(output, "hub:me/drawings")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "https://huggingface.co/datasets/me/drawings"
    assert hub.files("me/drawings") == FILES
    assert hub.calls == [("create_repo", None), ("upload_folder", None)]
    for name in ("chats.jsonl", "unclear.jsonl"):
        assert (hub.folder / "me/drawings" / name).read_bytes() == (output / name).read_bytes()
    card = (hub.folder / "me/drawings" / "README.md").read_text()
    assert 'load_dataset("me/drawings", "chats", split="train")' in card
    assert "hf download me/drawings --repo-type dataset" in card
    assert sorted(output.iterdir()) == before, "nothing is left in the output folder"


def test_a_dry_run_prints_and_sends_nothing(run: Run, hub: Uploaded) -> None:
    hub.token = None
    output = run()
    before = sorted(output.iterdir())
    result = push(output, "hub:me/drawings", "--dry-run", "--private")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "Hugging Face: https://huggingface.co/datasets/me/drawings (private)"
    assert [line.split()[-1] for line in lines[1:5]] == [
        "README.md",
        "recipe.resolved.yaml",
        "chats.jsonl",
        "unclear.jsonl",
    ]
    assert lines[-2].endswith("in all; 20 rows") and lines[-1] == "dry run: nothing was uploaded"
    assert (
        "warning: rows of chats.jsonl, unclear.jsonl name images by paths of this machine, such as /" in result.stderr
    )
    assert "--include-images uploads Parquet" in result.stderr
    assert "card: the card states no licence; give one with `mminf card --license ID`" in result.stderr
    assert hub.calls == [] and sorted(output.iterdir()) == before


def test_an_export_that_is_uploaded_as_well_is_told(run: Run, hub: Uploaded) -> None:
    """`mminf export` in another format writes the same records once more."""
    output = run()
    api.export(mminf.load(output.parent / "drawings.yaml", overrides={"sinks": [{"jsonl": "all.jsonl"}]}), output)
    told = push(output, "hub:me/drawings", "--dry-run").stderr
    assert "warning: all.jsonl: an export, with records that the recipe's datasets contain as well" in told
    for path in ("chats.jsonl", "unclear.jsonl"):
        (output / path).unlink()
    assert "an export" not in push(output, "hub:me/drawings", "--dry-run").stderr


def test_without_a_token_the_command_to_log_in_is_named(run: Run, hub: Uploaded) -> None:
    hub.token = None
    result = push(run(), "hub:me/drawings")
    assert isinstance(result.exception, UsageError) and "README.md" in result.stdout
    assert "there is no token for Hugging Face; run `hf auth login`, or set HF_TOKEN" in str(result.exception)
    assert hub.calls == []
    with pytest.raises(UsageError, match="hf auth login"):
        api.push(api.plan_push(run(), "hub:me/drawings"))


def test_a_name_without_owner_is_the_users(run: Run, hub: Uploaded) -> None:
    assert push(run(), "hub:drawings").stdout.splitlines()[-1].endswith("/me/drawings")
    assert hub.files("me/drawings") == FILES


def test_images_in_the_rows(run: Run, hub: Uploaded, tmp_path: Path) -> None:
    import datasets

    result = push(run(), "hub:me/drawings", "--include-images")
    assert result.exit_code == 0, result.output
    folder = hub.folder / "me/drawings"
    assert [name for name in hub.files("me/drawings") if "json" not in name] == [
        "README.md",
        "chats/00000.parquet",
        "recipe.resolved.yaml",
        "unclear/00000.parquet",
    ]
    assert hub.calls[-1] == ("upload_folder", ["chats/*", "unclear/*"])
    assert "check that their licences allow it" in result.stderr and "paths of this machine" not in result.stderr
    loaded = datasets.load_dataset(str(folder), "chats", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 12 and loaded[0]["images"][0].size == (32, 32)
    assert [turn["role"] for turn in loaded[0]["messages"]] == ["user", "assistant"] and loaded[0]["source"] == "mine"
    other = datasets.load_dataset(str(folder), "unclear", split="train", cache_dir=str(tmp_path / "cache"))
    assert other[0]["images"][0].size == (32, 32)
    assert str(tmp_path) not in (folder / "README.md").read_text()
    assert str(tmp_path).encode() not in (folder / "chats/00000.parquet").read_bytes()
    assert "The images are not part of this dataset" not in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    "sinks",
    [
        "  - llava: {path: a.json}",
        "  - llava: {path: a, rows_per_file: 5, image_paths: relative}",
        "  - swift: {path: sub/a.jsonl, copy_images: true, image_paths: relative}",
        "  - parquet: a.parquet",
        "  - jsonl: {path: a.jsonl, columns: [instruction, images]}",
    ],
)
def test_images_in_the_rows_of_every_format(run: Run, hub: Uploaded, tmp_path: Path, sinks: str) -> None:
    import datasets

    output = run(sinks=sinks)
    if "copy" in sinks:
        (tmp_path / "a.png").unlink()
    result = push(output, "hub:me/x", "--include-images")
    assert result.exit_code == 0, (result.output, result.exception)
    assert not [
        name for name in hub.files("me/x") if name.endswith((".json", ".jsonl", ".png")) and "manifest" not in name
    ]
    loaded = datasets.load_dataset(str(hub.folder / "me/x"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 12 and loaded[3]["images"][0].size == (32, 32) and "image" not in loaded.column_names


def test_rejected_images_are_embedded_too(run: Run, hub: Uploaded, tmp_path: Path) -> None:
    import datasets

    output = run(sinks="  - jsonl: a.jsonl")
    tiny_image(tmp_path / "b.png", size=(16, 16))
    rows = [{**row, "rejected_images": [str(tmp_path / "b.png")]} for row in read_rows(output / "a.jsonl")]
    (output / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert push(output, "hub:me/x", "--include-images").exit_code == 0
    loaded = datasets.load_dataset(str(hub.folder / "me/x"), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["images"][0].size == (32, 32) and loaded[0]["rejected_images"][0].size == (16, 16)


def test_rows_without_images_are_converted_with_the_others(run: Run, hub: Uploaded) -> None:
    """The `datasets` library loads one format per repository."""
    output = run(sinks="  - swift: a.jsonl\n  - jsonl: {path: b.jsonl, columns: [instruction]}")
    push(output, "hub:me/x", "--include-images")
    assert [config["data_files"][0]["path"] for config in header_of(hub.folder / "me/x")["configs"]] == [
        "a/*.parquet",
        "b/*.parquet",
    ]


def test_a_missing_image_leaves_its_row_out(
    run: Run, hub: Uploaded, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = run(sinks="  - swift: a.jsonl")
    rows = read_rows(output / "a.jsonl")
    rows[4]["images"] = [str(tmp_path / "gone.png")]
    (output / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = push(output, "hub:me/x", "--include-images")
    assert "images are missing, such as" in result.stderr and result.exit_code == 0
    assert "1 rows are left out, because an image can't be read" in caplog.text
    (tmp_path / "a.png").unlink()
    result = push(output, "hub:me/y", "--include-images")
    assert isinstance(result.exception, OutputError) and "no row has images that can be read" in str(result.exception)
    assert hub.files("me/y") == [] and not list(output.glob(".mminf-push*"))


def test_images_outside_the_source_are_not_uploaded(run: Run, hub: Uploaded, tmp_path: Path) -> None:
    output = run(sinks="  - swift: a.jsonl")
    secret = tmp_path.parent / f"{tmp_path.name}-secret.png"
    tiny_image(secret)
    rows = read_rows(output / "a.jsonl")
    rows[0]["images"] = [str(secret)]
    (output / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    plan = api.plan_push(output, "hub:me/x", include_images=True)
    api.push(plan)
    import pyarrow.parquet

    assert pyarrow.parquet.read_metadata(hub.folder / "me/x/a/00000.parquet").num_rows == 11


def test_parts_are_uploaded(run: Run, hub: Uploaded) -> None:
    output = run(number=60, more="split: {shares: {train: 0.7, validation: 0.3}}", sinks="  - swift: a.jsonl")
    push(output, "hub:me/x", "--include-images")
    assert header_of(hub.folder / "me/x")["configs"] == [
        {
            "config_name": "default",
            "data_files": [
                {"split": "train", "path": "a.train/*.parquet"},
                {"split": "validation", "path": "a.validation/*.parquet"},
            ],
            "default": True,
        }
    ]


def test_datasets_in_another_folder(run: Run, hub: Uploaded, tmp_path: Path) -> None:
    output = run()
    api.export(mminf.load(tmp_path / "drawings.yaml"), output, to=tmp_path / "to")
    (output / "chats.jsonl").write_text("")
    assert push(output, "hub:me/x", "--datasets", str(tmp_path / "to")).exit_code == 0
    assert len(read_rows(hub.folder / "me/x" / "chats.jsonl")) == 12


# The card


def test_options_of_the_card_are_kept(run: Run, hub: Uploaded) -> None:
    output = run()
    api.card(output, license="cc-by-4.0", languages=["de"])
    result = push(output, "hub:me/x", "--include-images")
    assert "card:" not in result.stderr
    header = header_of(hub.folder / "me/x")
    assert (header["license"], header["language"]) == ("cc-by-4.0", ["de"])


def test_the_users_own_card(run: Run, hub: Uploaded) -> None:
    output = run()
    text = "---\nlicense: mit\nconfigs:\n- config_name: mine\n  data_files: chats.jsonl\n---\n# Mine\n"
    (output / "README.md").write_text(text)
    result = push(output, "hub:me/x")
    assert (hub.folder / "me/x/README.md").read_text() == text and "card:" not in result.stderr
    push(output, "hub:me/y", "--include-images")
    header = header_of(hub.folder / "me/y")
    assert header["license"] == "mit" and header["configs"][0]["data_files"][0]["path"] == "chats/*.parquet"
    assert "# Mine" in (hub.folder / "me/y/README.md").read_text()
    assert push(output, "hub:me/x").exit_code == 0, "the same card again"


def test_a_card_on_the_hub_that_mminf_did_not_write(run: Run, hub: Uploaded) -> None:
    output = run()
    (hub.folder / "me/x").mkdir(parents=True)
    (hub.folder / "me/x/README.md").write_text("somebody's")
    result = push(output, "hub:me/x")
    assert isinstance(result.exception, OutputError) and "that mminf did not write" in str(result.exception)
    assert hub.files("me/x") == ["README.md"]
    assert push(output, "hub:me/x", "--force").exit_code == 0
    assert push(output, "hub:me/x").exit_code == 0, "its own card is replaced"


# Repositories


def test_files_of_older_datasets_are_removed(run: Run, hub: Uploaded) -> None:
    output = run(sinks="  - jsonl: {path: a, rows_per_file: 3}")
    push(output, "hub:me/x")
    assert hub.calls[-1] == ("upload_folder", ["a/*"]), "huggingface_hub removes what the upload lacks"


def test_a_large_upload(run: Run, hub: Uploaded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "_LARGE_FILES", 5)
    output = run(sinks="  - jsonl: {path: a, rows_per_file: 1}")
    push(output, "hub:me/x")
    assert hub.calls == [("create_repo", None), ("upload_large_folder", None)]
    (hub.folder / "me/x/a/00099.jsonl").write_text("{}")
    (hub.folder / "me/x/notes.txt").write_text("kept")
    push(output, "hub:me/x")
    assert hub.calls[-1] == ("delete_files", ["a/00099.jsonl"]) and "notes.txt" in hub.files("me/x")


def test_private_repositories(run: Run, hub: Uploaded) -> None:
    output = run()
    assert push(output, "hub:me/secret", "--private").exit_code == 0
    assert hub.private == {"me/secret"}
    push(output, "hub:me/public")
    result = push(output, "hub:me/public", "--private")
    assert isinstance(result.exception, OutputError) and "exists and is public" in str(result.exception)


def test_an_upload_that_fails(run: Run, hub: Uploaded) -> None:
    hub.error = ConnectionError("no route to https://me:pa55word@hub/x\nat all")
    output = run()
    result = push(output, "hub:me/x")
    assert isinstance(result.exception, OutputError)
    assert str(result.exception) == "Hugging Face, me/x: ConnectionError: no route to https://***@hub/x at all"
    assert not list(output.glob(".mminf-push*"))


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("me/x", (), "is not hub:NAME"),
        ("hub:", (), "is not hub:NAME"),
        ("hf:me/x", (), "is not hub:NAME"),
        ("hub:a/b/c", (), "is not the name of a repository"),
        ("hub:me/x y", (), "is not the name of a repository"),
        ("hub:" + "x" * 200, (), "is not the name of a repository"),
        ("hub:x", ("--modelscope",), "needs the name of a repository with its owner"),
        ("hub:/x", ("--modelscope",), "needs the name of a repository with its owner"),
        ("hub:a/b/c", ("--modelscope",), "needs the name of a repository with its owner"),
    ],
)
def test_invalid_targets(run: Run, hub: Uploaded, target: str, options: tuple[str, ...], message: str) -> None:
    result = push(run(number=1), target, *options, "--dry-run")
    assert isinstance(result.exception, UsageError) and message in str(result.exception)


def test_no_run_and_no_datasets(run: Run, hub: Uploaded, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert isinstance(push(tmp_path / "empty", "hub:me/x").exception, JournalError)
    output = run(sinks="  - jsonl: a.jsonl")
    (output / "a.jsonl").unlink()
    result = push(output, "hub:me/x", "--dry-run")
    assert isinstance(result.exception, OutputError) and "contains no datasets" in str(result.exception)


def test_an_unfinished_run_and_no_rows(run: Run, hub: Uploaded) -> None:
    result = push(run(number=0), "hub:me/x", "--dry-run")
    assert (
        "warning: the datasets have no rows" in result.stderr and "card: the card lists no data files" in result.stderr
    )
    assert result.exit_code == 0


# ModelScope


def test_modelscope(run: Run, modelscope: Uploaded) -> None:
    output = run(sinks=SINKS + "  - jsonl: {path: a, rows_per_file: 3}")
    result = push(output, "hub:me/drawings", "--modelscope", "--private")
    assert result.exit_code == 0, (result.output, result.exception)
    assert result.stdout.splitlines()[-1] == "https://www.modelscope.cn/datasets/me/drawings"
    assert modelscope.calls == [("create_repo", "private"), ("upload_folder", None)]
    card = (modelscope.folder / "me/drawings/README.md").read_text()
    assert 'MsDataset.load("me/drawings", subset_name="chats", split="train")' in card
    assert "modelscope download --dataset me/drawings --local_dir data" in card
    (modelscope.folder / "me/drawings/a/00099.jsonl").write_text("{}")
    assert push(output, "hub:me/drawings", "--modelscope").exit_code == 0
    assert modelscope.calls[-1] == ("delete_files", ["a/00099.jsonl"])
    result = push(output, "hub:me/drawings", "--modelscope", "--private")
    assert isinstance(result.exception, OutputError) and "make it private on its page" in str(result.exception)


def test_modelscope_keeps_cards_of_others(run: Run, modelscope: Uploaded) -> None:
    output = run()
    (modelscope.folder / "me/x").mkdir(parents=True)
    assert push(output, "hub:me/x", "--modelscope").exit_code == 0, "a repository without a card"
    (modelscope.folder / "me/x/README.md").write_text("somebody's")
    assert isinstance(push(output, "hub:me/x", "--modelscope").exception, OutputError)


def test_modelscope_without_a_token(run: Run, modelscope: Uploaded) -> None:
    modelscope.token = None
    result = push(run(), "hub:me/x", "--modelscope")
    assert "run `modelscope login --token TOKEN`, or set MODELSCOPE_API_TOKEN" in str(result.exception)
    assert push(run(), "hub:me/x", "--modelscope", "--dry-run").exit_code == 0
