"""Tokenizers that are on this machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tokenizers import Tokenizer as Fast
from tokenizers import models, pre_tokenizers

from mminf.errors import UsageError
from mminf.properties import find_tokenizer, load_tokenizer
from mminf.properties.tokenizer import find_file

from ..conftest import subprocess_env


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    """The folder of a model whose tokens are words of the letters a and b, truncated and padded to 2."""
    folder = tmp_path / "model"
    folder.mkdir()
    made = Fast(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.enable_truncation(2)
    made.enable_padding(length=2)
    made.save(str(folder / "tokenizer.json"))
    return folder


def test_tokens_are_counted_without_truncation_and_padding(letters: Path) -> None:
    for name in (str(letters), str(letters / "tokenizer.json")):
        found = load_tokenizer(name)
        assert found.name == name
        assert found.count(["a b c d", "", "a", "\ud800 a"]) == [4, 0, 1, 2]
        assert found.count([]) == []


def test_the_built_in_model_has_a_tokenizer() -> None:
    assert load_tokenizer("builtin:demo").count(["Describe the image."])[0] > 2


def test_a_model_in_the_cache_of_hugging_face(letters: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / "models--org--name"
    (place / "snapshots" / "abc").mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("abc")
    shutil.copy(letters / "tokenizer.json", place / "snapshots" / "abc")
    assert load_tokenizer("org/name").count(["a b"]) == [2]


def test_a_model_in_the_cache_of_modelscope(letters: Path, tmp_path: Path) -> None:
    place = tmp_path / "ms" / "models" / "org" / "name-2___5"
    place.mkdir(parents=True)
    shutil.copy(letters / "tokenizer.json", place)
    code = "from mminf.properties import load_tokenizer; print(load_tokenizer('org/name-2.5').count(['a b']))"
    env = subprocess_env(MODELSCOPE_CACHE=str(tmp_path / "ms"))  # modelscope reads it when it is imported
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert found.stdout.splitlines()[-1:] == ["[2]"], found.stderr


@pytest.mark.parametrize("name", ["org/none", "none", "a/b/c", "/nowhere/model", "builtin:none", "", "org/na me"])
def test_a_tokenizer_that_is_not_here_is_an_error(name: str) -> None:
    with pytest.raises(UsageError, match="is not on this machine"):
        load_tokenizer(name)


def test_a_folder_without_the_file_and_a_broken_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not on this machine"):
        load_tokenizer(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UsageError, match=r"tokenizer .*tokenizer.json can't be read"):
        load_tokenizer(str(tmp_path))


def test_the_first_model_of_a_run_that_is_here_is_taken(letters: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "tokenizer.json").write_text("{}")
    found = find_tokenizer(["org/none", str(tmp_path / "broken"), str(letters), "builtin:demo"])
    assert found is not None
    assert found.name == str(letters)
    assert find_tokenizer(["org/none"]) is None
    assert find_file("org/none") is None
