"""Templates of ms-swift against tokenizers and chat templates that are made here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mminf.backend.swift.explain import explain_types
from mminf.backend.swift.template_check import check_template, find_markers, same_prompt

from .test_open_turn import make_template

pytestmark = pytest.mark.model

CHATML = """\
{%- for message in messages %}{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
QWEN_2_5 = (
    """\
{%- if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are Qwen.<|im_end|>\\n' }}{% endif %}"""
    + CHATML
)
THINKING = CHATML.replace("assistant\\n'", "assistant\\n<think>\\n'")
LLAMA_3 = """\
{{- bos_token }}{%- for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' +
message.content | trim + '<|eot_id|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""
LLAMA_3_2 = """\
{{- bos_token }}{%- if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}
{%- if messages[0].role == 'system' %}{% set system = messages[0].content %}{% set messages = messages[1:] %}
{%- else %}{% set system = '' %}{% endif %}
{{- '<|start_header_id|>system<|end_header_id|>\\n\\nCutting Knowledge Date: December 2023\\nToday Date: ' + date_string
+ '\\n\\n' + system + '<|eot_id|>' }}
{%- for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' +
message.content | trim + '<|eot_id|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""
LLAMA_2 = """\
{%- if messages[0].role == 'system' %}{% set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}
{%- set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}
{%- for message in messages %}{{ bos_token + '[INST] ' + system + message.content + ' [/INST]' }}{% endfor %}"""
GEMMA = """\
{{- bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}
{%- for message in messages %}{{ '<start_of_turn>' + message.role + '\\n' + message.content + '<end_of_turn>\\n' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""

IM = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
HEADERS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TURNS = ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"]


def byte_level(special: list[str], chat_template: str | None, **names: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=chat_template, **names)


def sentence_piece(special: list[str], chat_template: str | None, **names: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    made = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [], byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens(special)
    return PreTrainedTokenizerFast(tokenizer_object=made, chat_template=chat_template, **names)


def problems(name: str, tokenizer: Any) -> list[str]:
    from mminf.backend.swift.adopt import adopt_template

    template = make_template(name, tokenizer)
    adopt_template(template)
    found = check_template(template, tokenizer)
    assert not any("\n" in problem for problem in found), "one line each"
    return found


QWEN = {"eos_token": "<|im_end|>"}
LLAMA = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}


@pytest.mark.parametrize(
    ("name", "tokenizer"),
    [
        ("chatml", lambda: byte_level(IM, CHATML, **QWEN)),
        ("qwen2_vl", lambda: byte_level(IM, CHATML, **QWEN)),
        ("qwen2_5", lambda: byte_level(IM, QWEN_2_5, **QWEN)),
        ("qwen2_5", lambda: byte_level(IM, CHATML, **QWEN)),
        ("qwen3", lambda: byte_level(IM, CHATML, **QWEN)),
        ("qwen3_thinking", lambda: byte_level(IM, THINKING, **QWEN)),
        ("qwen3_thinking", lambda: byte_level(IM, CHATML, **QWEN)),
        ("llama3", lambda: byte_level(HEADERS, LLAMA_3, **LLAMA)),
        ("llama3_2", lambda: byte_level(HEADERS, LLAMA_3_2, **LLAMA)),
        ("llama", lambda: sentence_piece(["<unk>", "<s>", "</s>"], LLAMA_2, bos_token="<s>", eos_token="</s>")),
        ("gemma", lambda: sentence_piece(TURNS, GEMMA, bos_token="<bos>", eos_token="<eos>")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_templates_that_fit_say_nothing(name: str, tokenizer: Any) -> None:
    assert problems(name, tokenizer()) == []


def test_the_built_in_model_says_nothing() -> None:
    from transformers import AutoTokenizer

    from mminf.backend import find_model

    assert problems("qwen2_vl", AutoTokenizer.from_pretrained(find_model("builtin:demo").folder)) == []


def test_markers_that_the_model_does_not_know() -> None:
    turns, markers = problems("chatml", byte_level(HEADERS, LLAMA_3, **LLAMA))
    assert turns.startswith("template 'chatml' renders a prompt as '<|im_start|>system")
    assert "the model's own chat template as '<|begin_of_text|><|start_header_id|>system" in turns
    assert turns.endswith("set the engine's `template` to the one that the model was trained with")
    assert markers.startswith("template 'chatml': <|im_start|>, <|im_end|>: not single tokens of this model")


def test_a_turn_that_is_written_differently() -> None:
    odd = CHATML.replace("message.role + '\\n'", "message.role + (': ' if message.role == 'user' else '\\n')")
    assert odd != CHATML
    (found,) = problems("qwen2_5", byte_level(IM, odd, **QWEN))
    assert "<|im_start|>user\\nab12" in found and "<|im_start|>user: ab12" in found


def test_a_system_turn_that_is_written_differently() -> None:
    odd = CHATML.replace("message.role", "('rules' if message.role == 'system' else message.role)")
    (found,) = problems("chatml", byte_level(IM, odd, **QWEN))
    assert "renders a prompt as '<|im_start|>system" in found and "'<|im_start|>rules" in found


def test_a_missing_beginning_of_text_is_a_difference() -> None:
    bos = {**QWEN, "bos_token": "<|endoftext|>"}
    (found,) = problems("qwen2_5", byte_level(IM, "{{ bos_token }}" + CHATML, **bos))
    assert "the model's own chat template as '<|endoftext|><|im_start|>" in found


def test_a_base_model() -> None:
    (found,) = problems("qwen2_5", byte_level(IM, None, **QWEN))
    assert found.startswith("the model has no chat template, so it is probably a base model")
    found, markers = problems("chatml", byte_level(["<|endoftext|>"], None, eos_token="<|endoftext|>"))
    assert "base model" in found
    assert "<|im_start|>, <|im_end|>: not single tokens" in markers


def test_a_chat_template_that_cannot_be_rendered_is_not_judged() -> None:
    assert problems("chatml", byte_level(IM, "{{ raise_exception('no') }}", **QWEN)) == []
    in_parts = CHATML.replace("message.content", "message.content[0].text")
    assert problems("chatml", byte_level(IM, in_parts, **QWEN)) == []


@pytest.mark.parametrize(
    ("ours", "models", "same"),
    [
        ("a\n", "a", True),
        ("a<think>\n", "a", True),
        ("a", "a\n<think>\n\n</think>\n\n", True),
        ("<s> [INST] a", "<s>[INST] a", True),
        ("a", "ab", False),
        ("a", "a<|im_end|>", False),
        ("a\n\nb", "a\nb", False),
    ],
)
def test_prompts_that_count_as_the_same(ours: str, models: str, same: bool) -> None:
    assert same_prompt(ours, models) is same
    assert same_prompt(models, ours) is same


def test_markers_of_templates() -> None:
    from swift.template import TEMPLATE_MAPPING

    assert find_markers(TEMPLATE_MAPPING["chatml"])[:2] == ["<|im_start|>", "<|im_end|>"]
    assert find_markers(TEMPLATE_MAPPING["llama"]) == ["<s>", "[INST]", "<<SYS>>", "<</SYS>>", "[/INST]", "</s>"]
    assert "<｜User｜>" in find_markers(TEMPLATE_MAPPING["deepseek_r1"])


def raised(model_type: str | None, template_type: str | None, folder: Path, architecture: str) -> str:
    """What ms-swift says of a model that it can't place."""
    import json

    from swift.model import get_processor
    from swift.template import get_template

    config = {"architectures": [architecture], "model_type": "llama", "hidden_size": 64, "num_attention_heads": 2}
    (folder / "config.json").write_text(json.dumps(config))
    byte_level(IM, CHATML, **QWEN).save_pretrained(folder)
    with pytest.raises(ValueError) as caught:
        get_template(get_processor(str(folder), model_type=model_type), template_type=template_type)
    return str(caught.value)


def test_errors_of_ms_swift_name_our_settings(tmp_path: Path) -> None:
    several = explain_types(raised(None, None, tmp_path, "LlamaForCausalLM"))
    assert several is not None
    assert (
        several.startswith("the model matches more than one model type of ms-swift: ")
        and ", llama (with `template: TEMPLATE`), " in several
    )
    assert "`model_type: TYPE` (and `template: TEMPLATE`, where several are listed) under" in several
    seeing = explain_types(raised(None, None, tmp_path, "Qwen2VLForConditionalGeneration"))
    assert seeing is not None and "qwen2_vl (with `template: qwen2_vl or qvq`), qwen2_gme" in seeing
    unknown = explain_types(raised("lama", None, tmp_path, "LlamaForCausalLM"))
    assert unknown == "`model_type: lama` is not a model type of ms-swift; did you mean 'llama'?"
    template = explain_types(raised("llama", "chatm1", tmp_path, "LlamaForCausalLM"))
    assert template == "`template: chatm1` is not a chat template of ms-swift; did you mean 'chatml'?"


@pytest.mark.parametrize(
    ("error", "explained"),
    [
        (
            "Failed to automatically match `template_type` for `/m`. Multiple possible types found: ['qwen2_vl', 'qvq']. "
            "Please specify `template_type` manually via `--template`. See documentation: ...",
            "the model matches more than one chat template of ms-swift: qwen2_vl, qvq. Set it to one of these: "
            "`template: TYPE` under the engine in the recipe, or `--set engines.NAME.template=TYPE` on the "
            "command line, where NAME is the engine's name in the recipe",
        ),
        (
            "Failed to automatically match `template_type` for `/m`. Please specify `template_type` manually via",
            "ms-swift can't detect the chat template of this model. Set it to one of ms-swift's template types: "
            "`template: TYPE` under the engine in the recipe, or `--set engines.NAME.template=TYPE` on the command "
            "line, where NAME is the engine's name in the recipe",
        ),
        ("Unrecognized model in /m. Should have a `model_type` key in its config.json.", None),
    ],
    ids=["several", "none", "another error"],
)
def test_explanations(error: str, explained: str | None) -> None:
    assert explain_types(error) == explained
