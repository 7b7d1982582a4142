"""Prepares an ms-swift template for mminf's requests: vocabulary, date, open turns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mminf.backend.swift.open_turn import open_template

if TYPE_CHECKING:
    from swift.template import Template, TemplateMeta

_DATE = re.compile(r"Today Date: \d{1,2} \w{3} \d{4}")
# The default date of Llama 3's own template.
_FIXED_DATE = "Today Date: 26 Jul 2024"


def adopt_template(template: Template) -> None:
    """Makes a template independent of the day and of the original model's vocabulary."""
    _fit_vocabulary(template)
    _pin_date(template.template_meta)


def open_view(template: Template) -> Template:
    """Returns the view of a template whose prompts end after the query; it is cached.

    Raises:
        EngineError: if the template can't be cut.
    """
    view = template.__dict__.get("_mminf_open_view")
    if view is None:
        view = template._mminf_open_view = open_template(template)
    view.mode, view.model = template.mode, template.model
    return view


def _fit_vocabulary(template: Template) -> None:
    """Sets the media token ids to the model's; some templates have those of the original vocabulary."""
    for name in ("image_token_id", "video_token_id"):
        own = getattr(template.config, name, None)
        if own is not None and isinstance(getattr(type(template), name, None), int):
            setattr(template, name, own)


def _pin_date(meta: TemplateMeta) -> None:
    """Replaces today's date by a fixed one, so that prompts do not depend on the day."""
    for name in ("prefix", "system_prefix"):
        pieces = getattr(meta, name)
        if pieces is not None:
            pinned = [_DATE.sub(_FIXED_DATE, piece) if isinstance(piece, str) else piece for piece in pieces]
            setattr(meta, name, pinned)
