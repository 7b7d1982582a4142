"""The hooking prompt of every multimodal template that ms-swift knows."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mminf.errors import EngineError

pytestmark = pytest.mark.model

# A classifier: its prompt is made of questions that come with the data.
NO_QUERY = {"jev"}
# No user's turn stands in front of the query: models for OCR, grounding, embedding, not for chat.
NO_CHAT = {
    "deepseek_ocr",
    "deepseek_ocr2",
    "emu3_gen",
    "florence",
    "hunyuan_ocr",
    "jina_reranker_m0",
    "monkeyocrv2",
    "paligemma",
    "unlimited_ocr",
}
QUERY = "zq9x"


def multimodal_templates() -> list[str]:
    from mminf.backend.model_files import import_quietly

    import_quietly()
    from swift.template import TEMPLATE_MAPPING
    from swift.template.constant import MLLMTemplateType

    names = {getattr(MLLMTemplateType, name) for name in dir(MLLMTemplateType) if not name.startswith("_")}
    return sorted(name for name in names if isinstance(name, str) and name in TEMPLATE_MAPPING)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    from mminf.backend import find_model

    tokenizer = AutoTokenizer.from_pretrained(find_model("builtin:demo").folder)
    tokenizer.bos_token = "<|endoftext|>"
    return tokenizer


class Zero(int):
    """A model's config in which every number is 0, at any depth."""

    def __getattr__(self, name: str) -> Zero:
        return Zero()


class Processor:
    """A tokenizer that answers whatever else a template asks of its model's processor."""

    def __init__(self, tokenizer: Any, folder: Path) -> None:
        from types import SimpleNamespace

        self.tokenizer = tokenizer
        self.model_info = SimpleNamespace(
            config=Zero(), model_dir=str(folder), max_model_len=1024, task_type="causal_lm"
        )
        self.model_meta = SimpleNamespace(is_multimodal=True)
        self.feature_extractor = SimpleNamespace(sampling_rate=16000)
        self.num_image_token = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["tokenizer"], name)


def make_template(name: str, tokenizer: Any) -> Any:
    """A template without its model: what rendering needs of the processor is the tokenizer."""
    from swift.template import TEMPLATE_MAPPING

    meta = TEMPLATE_MAPPING[name]
    return meta.template_cls(Processor(tokenizer, model_folder()), meta)


@cache
def model_folder() -> Path:
    """A folder with the file that Mistral's templates read their system turn from."""
    folder = Path(tempfile.mkdtemp()) / "mistral-2506"
    folder.mkdir()
    (folder / "SYSTEM_PROMPT.txt").write_text("Be {name} on {today}, after {yesterday}.".replace("{name} ", ""))
    return folder


def render(template: Any, tokenizer: Any, earlier: tuple[str, ...] = ()) -> str:
    """The text of a prompt whose query is QUERY, behind earlier turns of user and assistant."""
    from swift.template.template_inputs import StdTemplateInputs

    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": text} for number, text in enumerate(earlier)]
    inputs = StdTemplateInputs(messages=[*messages, {"role": "user", "content": QUERY}])
    template._swift_prepare_inputs(inputs)
    contexts, _, _ = template._swift_encode(inputs)
    return "".join(part if isinstance(part, str) else tokenizer.decode(part) for part in contexts)


def test_every_template_is_tested() -> None:
    assert len(multimodal_templates()) >= 136
    assert set(multimodal_templates()) >= NO_CHAT


def test_the_cut_prompt_ends_where_the_query_ends(tokenizer: Any) -> None:
    from mminf.backend.swift.open_turn import open_template

    for name in multimodal_templates():
        if name in NO_CHAT | NO_QUERY:
            continue
        template = make_template(name, tokenizer)
        full, cut = render(template, tokenizer), render(open_template(template), tokenizer)
        assert cut.endswith(QUERY), name
        # The same prompt up to the query: the same system turn, and no assistant's header behind it.
        assert full.startswith(cut), name
        assert full[len(cut) :].strip(), name


def test_only_the_last_turn_of_a_conversation_is_left_open(tokenizer: Any) -> None:
    from mminf.backend.swift.open_turn import open_template

    compared = 0
    for name in multimodal_templates():
        if name in NO_CHAT | NO_QUERY:
            continue
        template = make_template(name, tokenizer)
        earlier = ("first qq", "answer ww", "second ee", "answer rr")
        full, cut = render(template, tokenizer, earlier), render(open_template(template), tokenizer, earlier)
        assert cut.endswith(QUERY), name
        assert full.startswith(cut), name
        assert full[len(cut) :].strip(), name
        compared += "answer ww" in cut
    assert compared > 100  # a few templates know one turn only


@pytest.mark.parametrize("name", sorted(NO_CHAT))
def test_templates_without_a_user_turn_are_errors_that_name_them(name: str) -> None:
    from swift.template import TEMPLATE_MAPPING

    from mminf.backend.swift.open_turn import open_meta

    with pytest.raises(EngineError, match=f"template '{name}' can't be hooked: nothing marks the user's turn"):
        open_meta(TEMPLATE_MAPPING[name])


def test_a_template_that_takes_no_plain_query_is_an_error(tokenizer: Any) -> None:
    from mminf.backend.swift.open_turn import open_template

    with pytest.raises(EngineError, match="template 'jev' can't be hooked: it can't render a plain query"):
        open_template(make_template("jev", tokenizer))


def test_a_template_that_can_not_be_cut_is_an_error(tokenizer: Any) -> None:
    from mminf.backend.swift.open_turn import open_template

    template = make_template("qwen2_vl", tokenizer)
    template.template_meta.prompt = ["<|im_start|>user\n", "{{QUERY}} and {{QUERY}}", "<|im_end|>\n"]
    with pytest.raises(
        EngineError, match="'qwen2_vl' can't be hooked: its prompt does not contain the query exactly once"
    ):
        open_template(template)
    template.template_backend = "jinja"
    with pytest.raises(EngineError, match="rendered by the model's own Jinja chat template"):
        open_template(template)


def test_llama_does_not_say_what_day_it_is(tokenizer: Any) -> None:
    from mminf.backend.swift.adopt import adopt_template

    template = make_template("llama3_2_vision", tokenizer)
    adopt_template(template)
    assert "Today Date: 26 Jul 2024" in render(template, tokenizer)


def test_a_tokenizer_that_closes_its_prompts_leaves_the_hook_open(tokenizer: Any) -> None:
    """`auto_add_bos` templates take BOS from what the tokenizer puts around a text, and would take its EOS as well."""
    from mminf.backend.swift.open_turn import open_template

    class Closing:
        def __getattr__(self, name: str) -> Any:
            return getattr(tokenizer, name)

        def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
            ids = tokenizer.encode(text, add_special_tokens=False)
            return [tokenizer.bos_token_id or 0, *ids, tokenizer.eos_token_id] if add_special_tokens else list(ids)

    template = make_template("internvl2_5", Closing())
    view = open_template(template)
    assert render(view, tokenizer).endswith(QUERY)
    assert not render(template, tokenizer).endswith(QUERY)
