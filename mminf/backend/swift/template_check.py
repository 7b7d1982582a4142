"""Checks before the first call whether a chat template fits its model, and names the setting to change.

A template that does not fit causes poor answers instead of an error. The signs are markers that are not tokens of the
model, and prompts that differ from those of the model's own chat template.
"""

from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift.template import Template, TemplateMeta
    from transformers import PreTrainedTokenizerBase

OwnTemplate = str | Mapping[str, str]
"""A model's own chat template: Jinja text, or several by name."""

# `<|im_start|>`, `<end_of_turn>`, `<s>`, `[INST]`, `<<SYS>>`: markers of turns in templates.
_MARKER = re.compile(r"<<?/?[^<>\s{}]{1,40}>?>|\[/?[A-Z][A-Z_]+\]")
_THOUGHT = re.compile(r"^\s*<[^<>]*think[^<>]*>.*$", re.DOTALL)
# The date for Llama 3's template; see `_pin_date` in adopt.py.
_DATE = "26 Jul 2024"
_USER, _SYSTEM = "ab12 cd34?", "ef56 gh78."
_SHOWN = 60


def check_template(template: Template, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Returns the problems of an ms-swift template for a model, one line each; none if it fits.

    Args:
        template: the ms-swift template of an engine.
        tokenizer: the model's tokenizer.
    """
    meta = template.template_meta
    name = meta.template_type
    if template.template_backend != "swift" or name == "dummy":
        return []
    own = _own_template(template, tokenizer)
    if own is None:
        problems = [
            f"the model has no chat template, so it is probably a base model, which was not trained on template "
            f"{name!r}: expect answers that do not follow the prompt; use the model's chat version if there is one"
        ]
        return problems + _check_markers(meta, tokenizer)
    difference = _compare(template, tokenizer, own)
    # A marker of several tokens is valid if the model's own template writes the same.
    return [difference, *_check_markers(meta, tokenizer)] if difference else []


def writes_own_prompts(template: Template, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Returns whether a template writes the same prompts as the model's own, with and without a system turn.

    The default system turn and the start of reasoning count: they tell templates of one family apart.
    """
    own = _own_template(template, tokenizer)
    if own is None:
        return False
    user, system = {"role": "user", "content": _USER}, {"role": "system", "content": _SYSTEM}
    prompts = [[system, user], [user]] if template.template_meta.support_system else [[user]]
    try:
        return all(
            _render_own(tokenizer, own, messages).replace(" ", "")
            == _render(template, tokenizer, messages).replace(" ", "")
            for messages in prompts
        )
    except Exception:  # chat templates may raise any exception
        return False


def _check_markers(meta: TemplateMeta, tokenizer: PreTrainedTokenizerBase) -> list[str]:
    missing = [marker for marker in find_markers(meta) if not _is_token(tokenizer, marker)]
    if not missing:
        return []
    return [
        f"template {meta.template_type!r}: {', '.join(missing)}: not single tokens of this model, which reads them as "
        "plain text; set the engine's `template` to the one that the model was trained with"
    ]


def find_markers(meta: TemplateMeta) -> list[str]:
    """Returns the markers of turns in a TemplateMeta, in the order in which they appear."""
    found: dict[str, None] = {}
    for pieces in (meta.prefix, meta.system_prefix, meta.prompt, meta.chat_sep, meta.suffix, meta.stop_words):
        for piece in pieces or ():
            if isinstance(piece, str):
                found |= dict.fromkeys(_MARKER.findall(piece))
    return list(found)


def _is_token(tokenizer: PreTrainedTokenizerBase, marker: str) -> bool:
    token = tokenizer.convert_tokens_to_ids(marker)
    if token is None or (token == tokenizer.unk_token_id and marker != tokenizer.unk_token):
        return False
    return token in tokenizer.encode(marker, add_special_tokens=False)


def _own_template(template: Template, tokenizer: PreTrainedTokenizerBase) -> OwnTemplate | None:
    """Returns the model's own chat template, or None. Some multimodal models keep it with the processor."""
    return getattr(tokenizer, "chat_template", None) or getattr(template.processor, "chat_template", None)


def _compare(template: Template, tokenizer: PreTrainedTokenizerBase, own: OwnTemplate) -> str | None:
    user = {"role": "user", "content": _USER}
    system = {"role": "system", "content": _SYSTEM}
    prompts = {"a system turn": [system, user], "a user turn": [user]}
    if not template.template_meta.support_system:
        del prompts["a system turn"]
    found: dict[str, tuple[str, str] | None] = {}
    for turns, messages in prompts.items():
        with contextlib.suppress(_RefusedError):
            found[turns] = _difference(template, tokenizer, own, messages)
    if found.get("a system turn", ()) is None:
        return None  # without a system turn, they can differ only by a template's default system turn
    # Prompts with a system turn are preferred: the templates may have different default system turns.
    texts = found.get("a system turn") or found.get("a user turn")
    if texts is None:
        return None
    return (
        f"template {template.template_meta.template_type!r} renders a prompt as {texts[0]!r}, the model's own chat "
        f"template as {texts[1]!r}; set the engine's `template` to the one that the model was trained with"
    )


class _RefusedError(Exception):
    """One of the templates does not accept these turns."""


def _difference(
    template: Template, tokenizer: PreTrainedTokenizerBase, own: OwnTemplate, messages: list[dict[str, str]]
) -> tuple[str, str] | None:
    """Returns where the two renderings differ, if they do."""
    try:
        models = _render_own(tokenizer, own, messages)
        ours = _render(template, tokenizer, messages)
    except Exception as error:  # chat templates may raise any exception
        raise _RefusedError from error
    if _USER.replace(" ", "") not in models.replace(" ", ""):  # a template that requires content in parts
        raise _RefusedError
    return None if same_prompt(ours, models) else _around_difference(ours, models)


def _render(template: Template, tokenizer: PreTrainedTokenizerBase, messages: list[dict[str, str]]) -> str:
    from swift.infer_engine import InferRequest

    view = copy.copy(template)
    view.mode = "transformers"
    ids = type(view).encode(view, InferRequest(messages=[dict(message) for message in messages]))["input_ids"]
    return str(tokenizer.decode(ids))


def _render_own(tokenizer: PreTrainedTokenizerBase, own: OwnTemplate, messages: list[dict[str, str]]) -> str:
    ids = tokenizer.apply_chat_template(
        messages,
        chat_template=own if isinstance(own, str) else None,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
        date_string=_DATE,
    )
    return str(tokenizer.decode(ids))


def same_prompt(ours: str, models: str) -> bool:
    """Returns whether two rendered prompts are the same to a model.

    Spaces do not count, because SentencePiece tokenizers insert some between the pieces of a template. White space and
    the start of reasoning at the end do not count either, because an answer may begin with them.
    """
    ours, models = ours.replace(" ", ""), models.replace(" ", "")
    short, long = sorted((ours, models), key=len)
    if not long.startswith(short.rstrip()):
        return False
    rest = long[len(short.rstrip()) :]
    return not rest.strip() or bool(_THOUGHT.match(rest))


def _around_difference(ours: str, models: str) -> tuple[str, str]:
    """Returns both texts from shortly before their first difference, shortened."""
    places = [[i for i, char in enumerate(text) if char != " "] for text in (ours, models)]
    pairs = zip(*places, strict=False)
    first, second = next(((i, j) for i, j in pairs if ours[i] != models[j]), (len(ours), len(models)))
    return _cut(ours, first), _cut(models, second)


def _cut(text: str, place: int) -> str:
    start = max(0, place - _SHOWN // 3)
    shown = text[start : start + _SHOWN]
    return f"{'…' if start else ''}{shown}{'…' if start + _SHOWN < len(text) else ''}"
