"""Embeddings by real models of transformers and sentence-transformers, made on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from safetensors.numpy import load_file

import mminf
from mminf import api
from mminf.errors import RecipeError
from mminf.journal import Journal

from ..conftest import ROOT
from ..recipes.conftest import SCRIPT
from ..recipes.test_unicorn import UNICORN

pytestmark = pytest.mark.model
WORDS = ("a", "long", "caption", "of", "seed", "with", "forms", "and", "colours", ".", *map(str, range(100)))


def save_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "<unk>", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    return len(words)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    size = save_tokenizer(folder)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = CLIPConfig(
        text_config={**small, "vocab_size": size, "max_position_embeddings": 24, "eos_token_id": 11, "bos_token_id": 1},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=16,
    )
    CLIPModel(config).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def sentence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel

    inner = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    size = save_tokenizer(inner)
    BertModel(
        BertConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
            max_position_embeddings=32,
        )
    ).save_pretrained(inner)  # fmt: skip
    word = Transformer(str(inner), max_seq_length=32)
    folder = tmp_path_factory.mktemp("sentence")
    SentenceTransformer(modules=[word, Pooling(32)]).save(str(folder))
    return folder


def text_recipe(
    folder: Path, encoder: Path | str, texts: list[str], sink: str = "{path: embeddings}", **embed: Any
) -> Path:
    (folder / "texts.txt").write_text("".join(f"{text}\n" for text in texts))
    path = folder / "recipe.yaml"
    settings = json.dumps({"engine": "e", "reads": "text", **embed})
    path.write_text(f"""
engines: {{e: {{backend: encoder, model: "{encoder}", max_batch_size: 8, device_map: cpu}}}}
source: {{text: texts.txt}}
steps:
  - embed: {settings}
sinks:
  - embeddings: {sink}
""")
    return path


def read_vectors(folder: Path) -> dict[str, Any]:
    index = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    shards: dict[int, Any] = {}
    for item in index:
        if item["shard"] not in shards:
            shards[item["shard"]] = load_file(folder / f"vectors-{item['shard']:05}.safetensors")["vectors"]
    assert sum(len(shard) for shard in shards.values()) == len(index)
    return {item["id"]: shards[item["shard"]][item["row"]] for item in index}


def by_hand(clip: Path, texts: list[str]) -> Any:
    """The texts' normalised features, one at a time, by transformers alone."""
    import torch
    from transformers import AutoTokenizer, CLIPModel

    model, tokenizer = CLIPModel.from_pretrained(clip).eval(), AutoTokenizer.from_pretrained(clip)
    rows = []
    for text in texts:
        batch = tokenizer([text], padding="max_length", truncation=True, max_length=24, return_tensors="pt")
        with torch.inference_mode():
            rows.append(model.get_text_features(**batch).pooler_output[0].double().numpy())
    found = numpy.stack(rows)
    return found / numpy.linalg.norm(found, axis=1, keepdims=True)


TEXTS = [f"a caption of seed {n} ." for n in range(40)]  # CLIP looks at the end of a text, here the full stop


def test_vectors_are_normalised_centred_and_normalised_again(clip: Path, tmp_path: Path) -> None:
    recipe = text_recipe(tmp_path, clip, TEXTS, "{path: embeddings, rows_per_file: 7}")
    result = mminf.run(recipe, output=tmp_path / "out")
    assert (result.counts.done, result.written[0].rows) == (40, 40)
    found = read_vectors(tmp_path / "out" / "embeddings")
    assert len(list((tmp_path / "out" / "embeddings").glob("vectors-*"))) == 6
    with Journal(tmp_path / "out") as journal:
        texts = {row.id: row.fields["text"] for row in journal.outcomes.rows(0)}
    hand = by_hand(clip, [texts[name] for name in found])
    stats = load_file(tmp_path / "out" / "embeddings" / "stats.safetensors")
    mean = hand.mean(axis=0)
    assert numpy.allclose(stats["mean"], mean, atol=1e-6)
    assert numpy.allclose(stats["trace"][0], ((hand - mean) ** 2).sum(axis=1).mean(), atol=1e-6)
    assert stats["count"][0] == 40
    wanted = (hand - mean) / numpy.linalg.norm(hand - mean, axis=1, keepdims=True)
    assert numpy.allclose(numpy.stack(list(found.values())), wanted, atol=1e-4)
    assert numpy.allclose(numpy.linalg.norm(numpy.stack(list(found.values())), axis=1), 1, atol=1e-6)


def test_the_mean_is_that_of_all_however_a_run_was_cut(clip: Path, tmp_path: Path) -> None:
    recipe = text_recipe(tmp_path, clip, TEXTS)
    mminf.run(recipe, output=tmp_path / "cut", limit=13)
    part = load_file(tmp_path / "cut" / "embeddings" / "stats.safetensors")
    assert part["count"][0] == 13
    result = mminf.run(recipe, output=tmp_path / "cut")
    assert result.calls == 40, "what was embedded is not embedded again"
    again = mminf.run(recipe, output=tmp_path / "cut")
    assert again.calls == 40
    mminf.run(recipe, output=tmp_path / "whole")
    one, other = (load_file(tmp_path / name / "embeddings" / "stats.safetensors") for name in ("cut", "whole"))
    # Rows of another batch differ in the last bits; sums in source order do not differ beyond that.
    assert numpy.allclose(one["mean"], other["mean"], atol=1e-7)
    names = [list(read_vectors(tmp_path / name / "embeddings")) for name in ("cut", "whole")]
    assert names[0] == names[1]


def test_vectors_move_to_where_images_are(clip: Path, images: Path, tmp_path: Path) -> None:
    of_images = ROOT / "recipes" / "unicorn_images.yaml"
    engine = {"engines.encoder": {"backend": "encoder", "model": str(clip), "device_map": "cpu"}}
    (images / "bad.png").write_bytes(b"no image")
    result = mminf.run(of_images, input=images, output=tmp_path / "images", overrides=engine)
    assert (result.counts.done, result.counts.failed) == (12, 1)
    stats = tmp_path / "images" / "embeddings" / "stats.safetensors"
    recipe = text_recipe(tmp_path, clip, TEXTS, json.dumps({"path": "embeddings", "image_stats": str(stats)}))
    mminf.run(recipe, output=tmp_path / "out")
    vectors = numpy.stack(list(read_vectors(tmp_path / "out" / "embeddings").values()))
    image_mean = load_file(stats)["mean"]
    assert numpy.allclose(vectors.mean(axis=0), image_mean, atol=1e-5)
    own = load_file(tmp_path / "out" / "embeddings" / "stats.safetensors")
    assert numpy.allclose(own["image_mean"], image_mean)
    assert not numpy.allclose(own["mean"], image_mean, atol=1e-3)


def test_image_stats_that_do_not_fit_are_told(clip: Path, sentence: Path, tmp_path: Path) -> None:
    missing = json.dumps({"path": "embeddings", "image_stats": str(tmp_path / "nowhere.safetensors")})
    with pytest.raises(RecipeError, match=r"nowhere.safetensors is not a `stats.safetensors`"):
        mminf.run(text_recipe(tmp_path, clip, TEXTS[:3], missing), output=tmp_path / "out")
    mminf.run(text_recipe(tmp_path, sentence, TEXTS[:3]), output=tmp_path / "other")
    stats = json.dumps({"path": "embeddings", "image_stats": str(tmp_path / "other/embeddings/stats.safetensors")})
    with pytest.raises(RecipeError, match="has 32 dimensions, but the vectors have 16"):
        mminf.run(text_recipe(tmp_path, clip, TEXTS[:3], stats), output=tmp_path / "out")


def test_texts_that_are_too_long_fail_unless_that_is_wanted(clip: Path, tmp_path: Path) -> None:
    texts = ["a caption", "a " * 30, "of seed"]
    result = mminf.run(text_recipe(tmp_path, clip, texts), output=tmp_path / "out")
    assert result.counts.failed == 1
    assert "the encoder truncated the text, which has 30 tokens" in str(result.failures[0][2])
    assert mminf.run(text_recipe(tmp_path, clip, texts, truncated=True), output=tmp_path / "out").counts.done == 3


def test_sentence_transformers(sentence: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    mminf.run(
        text_recipe(tmp_path, sentence, TEXTS, "{path: embeddings, center: false, dtype: float16}"),
        output=tmp_path / "out",
    )
    found = read_vectors(tmp_path / "out" / "embeddings")
    with Journal(tmp_path / "out") as journal:
        texts = {row.id: row.fields["text"] for row in journal.outcomes.rows(0)}
    wanted = SentenceTransformer(str(sentence), device="cpu").encode(
        [texts[name] for name in found], normalize_embeddings=True
    )
    vectors = numpy.stack(list(found.values()))
    assert vectors.dtype == numpy.float16
    assert numpy.allclose(vectors, wanted, atol=1e-3)


def test_images_need_an_image_tower(sentence: Path, images: Path, tmp_path: Path) -> None:
    engine = {"engines.encoder": {"backend": "encoder", "model": str(sentence), "device_map": "cpu"}}
    result = mminf.run(
        ROOT / "recipes" / "unicorn_images.yaml", input=images, output=tmp_path / "out", overrides=engine
    )
    assert result.counts.failed == 12
    assert "can't embed images" in str(result.failures[0][2])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("embed: {engine: s, reads: text}", "does not make embeddings; use backend `encoder`"),
        ("generate: {engine: e, prompt: hi}", "makes embeddings, not text"),
        ("embed: {engine: e}", "give either `reads`"),
    ],
)
def test_engines_that_can_not_be_are_told(write_recipe: Callable[..., Path], steps: str, message: str) -> None:
    path = write_recipe(
        "engines: {s: {backend: scripted, answer: x}, e: {backend: encoder, model: m}}\n"
        f"source: {{text: texts.txt}}\nsteps:\n  - {steps}\n"
    )
    with pytest.raises(RecipeError, match=message):
        api.load(path)


def test_unicorn_from_seeds_to_embeddings(clip: Path, tmp_path: Path, calls_log: Path) -> None:
    (tmp_path / "play.py").write_text(SCRIPT + "\ndef reply(request, text):\n    " + UNICORN.replace("\n", "\n    "))
    (tmp_path / "captions.txt").write_text("".join(f"seed {n}\n" for n in range(20)) + "few\n")
    overrides = {
        "steps.kind.values": {"multiple_choice": 0, "complex_reasoning": 0},
        "engines.llm": {"backend": "scripted", "script": str(tmp_path / "play.py")},
        "engines.encoder": {"backend": "encoder", "model": str(clip), "device_map": "cpu"},
    }
    recipe = ROOT / "recipes" / "unicorn.yaml"
    mminf.run(recipe, input=tmp_path / "captions.txt", output=tmp_path / "out", overrides=overrides)
    captions, rows = (json.loads((tmp_path / "out" / name).read_text()) for name in ("pretrain.json", "instruct.json"))
    assert [row["id"] for row in captions] == list(read_vectors(tmp_path / "out" / "embeddings"))
    assert len(captions) == 21
    assert len(rows) == 20, "unreadable instructions leave the caption and its embedding"


def test_an_encoder_of_a_plugin(tmp_path: Path) -> None:
    """What LLM2CLIP needs: a model that is opened and asked in its own way."""
    (tmp_path / "mine.py").write_text("""
from mminf.backend.base import backend
from mminf.backend.encoder import BatchingEncoder, Encoded


@backend("letters")
class Letters(BatchingEncoder):
    def open_model(self, folder):
        self.letters = "abcdefgh"

    def encode_texts(self, texts):
        import numpy

        if any("odd" in text for text in texts):
            raise ValueError("odd text")
        rows = numpy.array([[text.count(letter) + 1.0 for letter in self.letters] for text in texts])
        return Encoded(rows, [len(text) for text in texts], [False] * len(texts))
""")
    (tmp_path / "model").mkdir()
    path = text_recipe(tmp_path, tmp_path / "model", ["aab", "odd", "ccc"], "{path: embeddings, center: false}")
    path.write_text("plugins: mine.py\n" + path.read_text().replace("backend: encoder", "backend: letters"))
    result = mminf.run(path, output=tmp_path / "out")
    assert (result.counts.done, result.counts.failed) == (2, 1), "one that can't be embedded fails alone"
    assert "odd text" in str(result.failures[0][2])
    first = next(iter(read_vectors(tmp_path / "out" / "embeddings").values()))
    assert numpy.allclose(first, numpy.array([3, 2, 1, 1, 1, 1, 1, 1]) / numpy.sqrt(19))
