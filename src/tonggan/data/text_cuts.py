"""Texts that are longer than what is read of them, by a bound that needs no tokenizer, which comes later."""

from __future__ import annotations

import re

from tonggan.cells import cell_text
from tonggan.data.findings import Finding
from tonggan.data.table import Table
from tonggan.modalities import TextConfig

_WIDE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_WIDE_PER_TOKEN = 3


def find_cut_texts(table: Table, name: str, *, config: TextConfig, split: str) -> list[Finding]:
    """A note on the texts of a column that surely have more tokens than are read."""
    count = num_texts = 0
    for values in table.iterate(name):
        for value in values:
            text = cell_text(value)
            if text is not None:
                num_texts += 1
                count += len(text) > config.max_tokens and _least_tokens(text) > config.max_tokens
    if not count:
        return []
    setting = f"--set columns.{name}.max_tokens={min(4 * config.max_tokens, 8_192)}"
    return [
        Finding(
            "note",
            column=name,
            split=split,
            count=count,
            message=f"{count:,} of {num_texts:,} texts in '{name}' of {split} are longer than the {config.max_tokens} "
            "tokens that are read; the rest of them is cut off.",
            message_zh=f"{split} 的“{name}”中 {num_texts:,} 段文本有 {count:,} 段超过读取的 "
            f"{config.max_tokens} 个词元；其余部分被截去。",
            remedy=f"Set how much is read, e.g. {setting}, or put what matters first",
            remedy_zh=f"请设置读取的长度，例如 {setting}，或把重要内容放在开头",
        )
    ]


def _least_tokens(text: str) -> int:
    """No more than the tokens of ``text``: one is a word at the most, or some characters of Chinese or Japanese."""
    return len(text.split()) + len(_WIDE.findall(text)) // _WIDE_PER_TOKEN
