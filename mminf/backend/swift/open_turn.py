"""Leaves a prompt open inside the user's turn, for any ms-swift template.

ms-swift's templates mark the position of the user's query (`{{QUERY}}`). A copy of the template that ends after it
renders the hooking prompt: everything before the query, including system turn and images, and nothing after it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from mminf.errors import EngineError

if TYPE_CHECKING:
    from swift.template import Template, TemplateMeta

Prompt = list[str | list[int] | list[str]]
"""The pieces of a template's prompt: texts, and tokens by id or name."""

_QUERY, _RESPONSE = "{{QUERY}}", "{{RESPONSE}}"
_OPENING_TOKEN = re.compile(r"^\s*<[^<>]*>")
_PROBE = "ab12"


def cut_prompt(prompt: Prompt) -> Prompt | None:
    """Returns a template's prompt pieces up to the end of the query; None if the query isn't in exactly one piece."""
    holders = [(index, piece) for index, piece in enumerate(prompt) if isinstance(piece, str) and _QUERY in piece]
    if len(holders) != 1 or holders[0][1].count(_QUERY) != 1:
        return None
    index, piece = holders[0]
    return [*prompt[:index], piece[: piece.index(_QUERY) + len(_QUERY)]]


def has_user_header(meta: TemplateMeta) -> bool:
    """Returns whether there is more than a beginning-of-text token before the query.

    Otherwise the prompt has no mark of a user turn, and the model would continue the image with any text.
    """
    cut = cut_prompt(meta.prompt)
    if cut is None:
        return False
    if any(not isinstance(piece, str) or piece.replace(_QUERY, "").strip() for piece in cut):
        return True
    before = "".join(piece for piece in meta.prefix if isinstance(piece, str))
    return bool(_OPENING_TOKEN.sub("", before).strip())


def open_meta(meta: TemplateMeta) -> TemplateMeta:
    """Returns a copy of a TemplateMeta whose prompt ends with the query.

    Raises:
        EngineError: if the template can't be cut or has no user turn; the error names the template.
    """
    name = meta.template_type
    cut = cut_prompt(meta.prompt)
    if cut is None:
        raise EngineError(f"template {name!r} can't be hooked: its prompt does not contain the query exactly once")
    if not has_user_header(meta):
        raise EngineError(
            f"template {name!r} can't be hooked: nothing marks the user's turn before the query, so it is not a "
            "chat template; use a chat model"
        )
    opened = copy.deepcopy(meta)
    opened.prompt = cut
    if opened.is_post_system:
        opened.system_prompt = cut_prompt(opened.system_prompt)
        if opened.system_prompt is None:
            raise EngineError(f"template {name!r} can't be hooked: its system prompt does not contain the query once")
    return opened


def open_template(template: Template) -> Template:
    """Returns a second view of an ms-swift template: same processor, but prompts end after the query.

    Raises:
        EngineError: if the template can't be cut, or its prompt does not end with the query.
    """
    meta = template.template_meta
    if template.template_backend != "swift" or meta.template_type == "dummy":
        raise EngineError(
            f"template {meta.template_type!r} is rendered by the model's own Jinja chat template, which can't be cut; "
            "set the engine's `template` to one of ms-swift's"
        )
    view = copy.copy(template)
    view.template_meta = open_meta(meta)
    view._concat_context_list = _close_earlier_turns(template, list(meta.prompt))
    view.response_prefix = ""
    _resolve_bos(view)
    check_open(view)
    return view


def _close_earlier_turns(template: Template, prompt: Prompt) -> Callable[..., None]:
    """Returns the function that joins a round's pieces. Only the last round, without a response, is cut."""
    concat = template._concat_context_list

    def concat_open(context_list: Prompt, *args: object, **kwargs: object) -> None:
        earlier = context_list[-1:] == [_RESPONSE]
        concat([*prompt, _RESPONSE] if earlier else context_list, *args, **kwargs)

    return concat_open


def _resolve_bos(view: Template) -> None:
    """Puts the tokenizer's BOS into the prefix; `auto_add_bos` would close the prompt with its EOS as well."""
    meta = view.template_meta
    if not meta.auto_add_bos:
        return
    wrapped = view.tokenizer.encode("a")
    plain = view.tokenizer.encode("a", add_special_tokens=False)
    bos = wrapped[: wrapped.index(plain[0])] if plain and plain[0] in wrapped else []
    meta.auto_add_bos = False
    if bos:
        meta.prefix = [bos, *meta.prefix]
        meta.system_prefix = None if meta.system_prefix is None else [bos, *meta.system_prefix]


def check_open(view: Template) -> None:
    """Encodes a probe and checks that the prompt ends with it. Raises EngineError if it doesn't."""
    from swift.template.template_inputs import StdTemplateInputs

    name = view.template_meta.template_type
    inputs = StdTemplateInputs(messages=[{"role": "user", "content": _PROBE}])
    try:
        view._swift_prepare_inputs(inputs)
        contexts, _, _ = view._swift_encode(inputs)
    except Exception as error:  # templates of classifiers need more than a query, and raise any exception
        raise EngineError(f"template {name!r} can't be hooked: it can't render a plain query ({error})") from error
    last = contexts[-1] if contexts else ""
    if not isinstance(last, str) or not last.endswith(_PROBE):
        raise EngineError(f"template {name!r} can't be hooked: its prompt ends with {last!r} instead of the query")
