"""`mminf init`: the models of a first recipe, on this machine or on a server."""

from __future__ import annotations

import contextlib
import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import mminf
from mminf import api
from mminf.backend.builtin import find_model
from mminf.content import find_recipe
from mminf.errors import EngineError
from mminf.recipe.lines import load_document
from mminf.starter import Where, write_starter

from .starting import has_hook, run


def test_a_server_that_can_not_be_used_is_told(photos: Path, tmp_path: Path) -> None:
    server = ["-i", str(photos), "--server", "http://127.0.0.1:1/v1", "--model", "m"]
    assert "note: model 'm': no server answers at http://127.0.0.1:1/v1" in run(str(tmp_path / "a"), *server)
    assert (tmp_path / "a" / "caption_qa.yaml").exists(), "it may be started later"
    with serving("qwen") as url:
        arguments = ["-i", str(photos), "--server", url, "--model"]
        assert f"note: {url} does not serve 'm'" in run(str(tmp_path / "b"), *arguments, "m")
        assert "note:" not in run(str(tmp_path / "c"), *arguments, "qwen")


def test_an_address_without_its_version_is_told(photos: Path, tmp_path: Path) -> None:
    with serving("qwen") as url:
        for address, told in ((url.removesuffix("/v1"), True), (url, False)):
            name = str(tmp_path / str(told))
            text = " ".join(run(name, "-i", str(photos), "--server", address, "--model", "qwen").split())
            assert (f"note: {address} answered 404 to the request for its models; add /v1" in text) is told
            assert f"`base_url: {url}`" in text or not told


def test_over_a_vllm_server_the_hook_works(photos: Path, tmp_path: Path) -> None:
    for owner, hooks in (("vllm", True), ("other", False)):
        with serving("qwen", owned_by=owner) as url:
            text = run(
                str(tmp_path / owner), "-i", str(photos), "--server", url, "--model", "qwen", "--recipe", "oasis"
            )
            assert ("--profile asked" in text) is not hooks
            run(str(tmp_path / "first" / owner), "-i", str(photos), "--server", url, "--model", "qwen")
            assert (tmp_path / "first" / owner / "oasis.yaml").exists() is hooks


@pytest.mark.parametrize("plugin", [True, False])
def test_over_a_server_of_ms_swift_the_hook_works_with_the_plugin(photos: Path, tmp_path: Path, plugin: bool) -> None:
    """It is asked: an open prompt has fewer tokens than a closed one."""
    with serving("qwen", counts=(9, 7) if plugin else (9, 9), owned_by="swift") as url:
        text = run(str(tmp_path / "m"), "-i", str(photos), "--server", url, "--model", "qwen")
    assert (tmp_path / "m" / "oasis.yaml").exists() is plugin
    assert "--profile asked" not in text


@contextlib.contextmanager
def serving(model: str, counts: tuple[int, int] = (9, 9), **more: str) -> Iterator[str]:
    """The address of a server that lists one model.

    Args:
        counts: prompt tokens of its answers, in turn: those to a closed and an open prompt.
    """
    tokens = itertools.cycle(counts)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/v1/"):
                self.say({"data": [{"id": model, **more}]})
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            usage = {"prompt_tokens": next(tokens), "completion_tokens": 1}
            self.say({"choices": [{"message": {"content": "a"}, "finish_reason": "length"}], "usage": usage})

        def say(self, found: object) -> None:
            body = json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


def test_oasis_over_a_server_keeps_the_profile_that_works_there(photos: Path, tmp_path: Path) -> None:
    text = run(
        str(tmp_path / "m"), "-i", str(photos), "--server", "http://localhost:1/v1", "--model", "m", "--recipe", "oasis"
    )
    assert "--profile asked" in text
    assert not has_hook(api.load(tmp_path / "m" / "oasis.yaml", profile="asked"))


@pytest.mark.parametrize("where", [Where.GPU, Where.CPU, Where.SERVER])
def test_models_are_those_that_are_given(where: Where, tmp_path: Path) -> None:
    def engines(name: str, model: str | None, text_model: str | None) -> dict[str, Any]:
        path = write_starter(
            name, tmp_path, None, where, url="http://localhost:1/v1", model=model, text_model=text_model, force=True
        )
        return dict(load_document(path).data["engines"])

    made = engines("oasis", "see", "read")
    assert [made[name]["model"] for name in ("vlm", "llm")] == ["see", "read"]
    assert made["vlm"]["max_pixels"] == (401408 if where is Where.CPU else 1003520)
    made = engines("oasis", "one", "one")
    assert made["vlm"] == made["llm"], "the same model is loaded once"
    assert engines("magpie", "mine", None)["llm"]["model"] == "mine", "a recipe without images has one model"
    assert engines("magpie", "see", "read")["llm"]["model"] == "read"
    if where is not Where.SERVER:
        default = engines("oasis", "see", None)["llm"]["model"]
        assert default.startswith("Qwen/Qwen2.5-")
    assert (
        engines("unicorn", "mine", None)["encoder"] == load_document(find_recipe("unicorn")).data["engines"]["encoder"]
    )


def test_a_local_model_is_named_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe may be run from another folder. Images are not larger than those that the model was trained with."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()

    def engine(pixels: str) -> dict[str, Any]:
        (tmp_path / "mine" / "preprocessor_config.json").write_text(pixels)
        path = write_starter("caption", tmp_path / "r", None, Where.GPU, model="mine", force=True)
        return dict(load_document(path).data["engines"]["vlm"])

    made = engine('{"max_pixels": 12544}')
    assert (made["model"], made["max_pixels"]) == (str(tmp_path / "mine"), 12544)
    for other in ("{}", "[]", "no JSON", '{"max_pixels": "many"}', '{"max_pixels": 12845056}'):
        assert engine(other)["max_pixels"] == 1003520


def test_what_a_local_model_lacks_is_told_before_it_is_loaded(photos: Path, tmp_path: Path) -> None:
    """The name of its folder says nothing, and the type that its files name has several types of ms-swift."""
    own = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 8, "num_attention_heads": 1}
    several = (
        "matches more than one model type of ms-swift: qwen2 (with `template: TEMPLATE`), qwen2_gte. Set it to one"
    )
    for name, more, told in (
        ("mine", {}, several),
        ("coded", {"auto_map": {"AutoModel": "mine.Model"}}, "requires remote code (config.json)"),
        ("Qwen2.5-1.5B-Instruct", {}, None),
    ):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({**own, **more}))
        arguments = ["-i", str(photos), "--cpu", "--model", str(folder), "--recipe", "caption"]
        text = " ".join(run(str(tmp_path / "r" / name), *arguments).split())
        assert text.count("note: engine vlm: ") == (told is not None), text
        assert told is None or told in text
        assert "next:" in text


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("none", True),
        ("another chat template", False),
        ("no chat template", False),
        ("another type", False),
        ("damaged tokenizer", False),
    ],
)
def test_the_types_of_a_local_model_are_those_of_its_files(
    change: str, found: bool, photos: Path, tmp_path: Path
) -> None:
    """A folder such as `checkpoint-9` says nothing. A type is written only if its prompts are the model's own."""
    folder = tmp_path / "checkpoint-9"
    shutil.copytree(find_model("builtin:demo").folder, folder)
    template, config = folder / "chat_template.jinja", folder / "config.json"
    if change == "another chat template":
        template.write_text(template.read_text().replace("<|im_end|>", "<|end|>"))
    elif change == "no chat template":
        template.unlink()
    elif change == "another type":
        config.write_text(config.read_text().replace('"model_type": "qwen2_vl"', '"model_type": "qwen3_vl"'))
    elif change == "damaged tokenizer":
        (folder / "tokenizer.json").write_text("{")
    arguments = ["-i", str(photos), "--cpu", "--model", str(folder), "--recipe", "caption"]
    text = " ".join(run(str(tmp_path / "r"), *arguments).split())
    engine = load_document(tmp_path / "r" / "caption.yaml").data["engines"]["vlm"]
    types = {"model_type": "qwen2_vl", "template": "qwen2_vl"}
    assert types.items() <= engine.items() if found else not types.keys() & engine.keys()
    assert ("vlm: `model_type: qwen2_vl` and `template: qwen2_vl`: prompts as the model's own" in text) is found
    assert ("note: engine vlm: the model matches more than one model type" in text) is not found
    assert ("--set engines.vlm.model_type=TYPE" in text) is not found
    assert "NAME is the engine's name" not in text


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (None, "contains no config.json, so it is not a model"),
        ("{", "config.json can't be read: Expecting"),
        ("[1]", "config.json is not a JSON object"),
        ('{"model_type": "qwen2_vl"}', "config.json names no `architectures`"),
    ],
)
def test_a_folder_that_is_no_model_is_told(config: str | None, told: str, photos: Path, tmp_path: Path) -> None:
    """ms-swift would name all types of models without an architecture."""
    (folder := tmp_path / "checkpoint-9").mkdir()
    if config is not None:
        (folder / "config.json").write_text(config)
    arguments = ["-i", str(photos), "--cpu", "--model", str(folder), "--recipe", "caption"]
    assert told in " ".join(run(str(tmp_path / "r"), *arguments).split())
    if "architectures" not in told:
        with pytest.raises(EngineError, match=told):
            mminf.run(tmp_path / "r" / "caption.yaml", output=tmp_path / "out", overrides={"limit": 1})


def test_a_text_model_that_is_downloaded_next_to_a_local_model_is_told(photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Qwen2-VL-2B-Instruct"
    folder.mkdir()
    arguments = ["-i", str(photos), "--cpu", "--recipe", "oasis", "--model", str(folder)]
    told = "--text-model FOLDER takes a local one"
    assert told in " ".join(run(str(tmp_path / "a"), *arguments).split())
    assert told not in " ".join(run(str(tmp_path / "b"), *arguments, "--text-model", str(folder)).split())
    assert told not in " ".join(run(str(tmp_path / "c"), *arguments[:5]).split()), "both are downloaded"
