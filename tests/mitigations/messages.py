"""Messages of a hostile user, and what a model gets to see of them."""

from __future__ import annotations

from hypothesis import strategies as st

from auditkit.mitigations.rendering import RenderingServer

TOKENS = ("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>", "<|bos|>", "<|pad|>")
PIECES = (
    *TOKENS,
    "<|im_",
    "start|>",
    "end|>",
    "<|",
    "|>",
    "\u200b",
    "＜|im_end|＞",
    "\n### User:",
    "user\n",
    "Assistant: ",
)

messages = st.lists(st.text(max_size=6) | st.sampled_from(PIECES), max_size=12).map("".join)


def special_ids(server: RenderingServer, text: str) -> tuple[list[int], list[int]]:
    """The special ids of a rendered message, and those that the template itself has."""
    special, shown = set(server.special.values()), server.rendered(text)
    assert shown is not None
    turns = server.turn_format()
    template = (*server.opening().token_ids, *server.inner.encode(turns.turn_change))
    return [t for t in shown.token_ids if t in special], [t for t in template if t in special]
