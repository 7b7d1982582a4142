"""A plugin for `swift deploy`: lets a chat request leave the user's turn open.

    swift deploy --model ... --external_plugins "$(python -m mminf.server)"

A request with `chat_template_kwargs: {"mminf": {"open_turn": "user"}}` is then rendered by a view of the server's
template that ends where the query ends. All other requests are rendered unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swift.infer_engine import InferRequest
    from swift.template import Template
    from swift.utils import Processor


def install() -> None:
    """Makes every ms-swift template of this process honour open turns."""
    from swift.template import Template

    from mminf.backend.swift.adopt import adopt_template, open_view
    from mminf.backend.swift.request import read_mark

    encode, init_processor = Template.encode, Template.init_processor

    def encode_open(self: Template, inputs: InferRequest, *args: object, **kwargs: object) -> object:
        if read_mark(inputs).get("open_turn") == "user":
            return encode(open_view(self), inputs, *args, **kwargs)
        return encode(self, inputs, *args, **kwargs)

    def init_adopted(self: Template, processor: Processor) -> None:
        fresh = not self._processor_inited
        init_processor(self, processor)
        if fresh and self._processor_inited:
            adopt_template(self)

    Template.encode, Template.init_processor = encode_open, init_adopted


install()
