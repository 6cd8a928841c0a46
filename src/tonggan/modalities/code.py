"""Source code: the leaves of its syntax tree as pieces of words, with where they stand and what data flows to them.

Code that is broken or unfinished is read as well: its tree has error nodes, which are kinds like others. None is run.
"""

from __future__ import annotations

import textwrap
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, TypeAdapter, field_validator

from tonggan.cells import cell_text
from tonggan.errors import DataError
from tonggan.grammars import LANGUAGES, has_grammar, parse
from tonggan.modalities.base import ColumnConfig, Form, InputConfig, Limit, Modality
from tonggan.modalities.movement import Movement
from tonggan.modalities.text import MASK_ID, PAD_ID, SPECIAL_TOKENS
from tonggan.tokens import Arrays
from tonggan.wording import Words

if TYPE_CHECKING:
    from tokenizers import Tokenizer

RELATIONS = ("last_use", "last_write", "computes", "stands_in")
"""To which other token a token of code leads: where its name stands before, where it was written last, the name that is
written with it, and the first token of what it stands in."""
NUM_LAYOUTS = 32
"""Depths of blocks up to 15, and whether a token begins a line."""
COLUMNS = 3 + len(RELATIONS)
_CHARACTERS_PER_TOKEN = 16
_FIT_TEXTS = 20_000
_MOST_KINDS = 1_000
_MOST_KEPT = 64_000_000  # bytes of encoded code
_BLOCKS = ("block", "statement_block", "compound_statement", "declaration_list", "class_body", "body_statement")
_LISTS = ("pattern_list", "tuple_pattern", "list_pattern", "tuple", "as_pattern_target", "list_splat_pattern")
_BINDS = ("definition", "declarat", "parameter", "named_expression")


class CodeConfig(ColumnConfig, InputConfig):
    """A column of programs, or of pieces of them."""

    words: ClassVar[Words] = Words("source code", "源代码")
    form: ClassVar[Form] = "text"
    is_rare: ClassVar[bool] = True
    kind: Literal["code"] = "code"
    language: str = "python"
    """Programming language, as tree-sitter names it."""
    vocab_size: int = Field(default=8_000, ge=300)
    """Maximum size of the vocabulary, in tokens; a small training part yields fewer."""
    max_tokens: int = Field(default=256, ge=1, le=4_096)
    """Longer texts are cut off here."""
    min_frequency: int = Field(default=2, ge=1)
    """How often a pair of tokens must occur to become a token of its own."""
    hidden_words: float = Field(default=0.1, ge=0, lt=1)
    """In training, the probability that some or all words of a program are replaced by <mask>, which also replaces
    tokens unseen in training. 0 for neither."""

    @field_validator("language")
    @classmethod
    def _is_known(cls, language: str) -> str:
        if not has_grammar(language):
            known = ", ".join(filter(has_grammar, LANGUAGES))
            raise ValueError(f"language '{language}' has no grammar: choose one of {known}")
        return language

    def is_unreadable(self, cell: Any) -> bool:
        """Whether no parser takes it, as a text nested thousands deep; broken code is no such."""
        text = _program(cell)
        return text is not None and _leaves_or_none(_cut(text, self.max_tokens), self.language) is None

    def build(self) -> Code:
        """The modality, to be fitted."""
        return Code(self)

    @property
    def limit(self) -> Limit:
        most = Words(f"{self.max_tokens} tokens", f"{self.max_tokens} 个词元")
        return Limit(Words("programs", "段代码"), most, f"max_tokens={min(4 * self.max_tokens, 4_096)}")

    def exceeds(self, content: str) -> bool:
        """Whether a program surely has more tokens: its words alone are too many."""
        return len(content) > self.max_tokens and len(content.split()) > self.max_tokens


class Code(Modality[CodeConfig]):
    """Programs as int64 ``[B, L, 7]`` with a mask ``[B, L]``, the tokens of the leaves of their trees in order.

    Of each token: its id, the number of its kind (what it is in its parent node), its layout (below ``NUM_LAYOUTS``),
    and for each of ``RELATIONS`` the position of another token, -1 for none.
    """

    kind: ClassVar[str] = "code"
    essential: ClassVar[tuple[str, ...]] = ("language",)

    def __init__(self, config: CodeConfig) -> None:
        super().__init__(config)
        self._tokenizer: Tokenizer | None = None
        self._kinds: dict[str, int] = {}
        self._unseen: list[int] = []
        self._kept: OrderedDict[str, NDArray[np.int32] | None] = OrderedDict()
        self._kept_bytes = 0
        self._lock = threading.Lock()

    def learn(self, name: str, read: Callable[[str], Iterable[Any]]) -> None:
        """The vocabulary and the kinds."""
        self.fit(read(name))

    def fit(self, texts: Iterable[Any]) -> None:
        """Train a byte-level BPE on the leaves of the first 20,000 programs, and number the kinds of their leaves."""
        from tokenizers import Tokenizer, models, pre_tokenizers, trainers

        programs = []
        for text in texts:
            leaves = self._leaves(text)
            if leaves:
                programs.append(leaves)
            if len(programs) == _FIT_TEXTS:
                break
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=self.config.vocab_size,
            min_frequency=self.config.min_frequency,
            special_tokens=SPECIAL_TOKENS,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator((leaf.text for leaves in programs for leaf in leaves), trainer)
        tokenizer.encode_special_tokens = True
        counts = Counter(leaf.kind for leaves in programs for leaf in leaves)
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_MOST_KINDS]
        self._tokenizer = tokenizer
        self._kinds = {kind: number for number, (kind, _) in enumerate(ordered, len(SPECIAL_TOKENS))}
        seen = set(range(len(SPECIAL_TOKENS)))
        for leaves in programs:
            seen.update(tokenizer.encode([leaf.text for leaf in leaves], is_pretokenized=True).ids)
        self._unseen = sorted(set(range(self.num_tokens)) - seen)

    def _leaves(self, item: object) -> list[Leaf] | None:
        text = _program(item)
        return None if text is None else _leaves_or_none(_cut(text, self.config.max_tokens), self.config.language)

    @property
    def tokenizer(self) -> Tokenizer:
        """The fitted tokenizer."""
        assert self._tokenizer is not None, "Code is used before fit"
        return self._tokenizer

    @property
    def num_tokens(self) -> int:
        """The size of the vocabulary, special tokens included."""
        return int(self.tokenizer.get_vocab_size())

    @property
    def num_kinds(self) -> int:
        """How many kinds of leaves there are, padding and unknown ones included."""
        return len(SPECIAL_TOKENS) + len(self._kinds)

    def collate(self, items: Sequence[Any]) -> Arrays:
        """int64 ``[B, L, 7]``, L the longest of the batch (1 when all are absent), padded with zeros at the end."""
        texts = [_program(item) for item in items]
        rows = [None if text is None else self._encoded(text) for text in texts]
        lengths = np.array([0 if row is None else len(row) for row in rows])
        values = np.full((len(rows), max(1, lengths.max()), COLUMNS), PAD_ID, dtype=np.int64)
        for place, row in enumerate(rows):
            if row is not None:
                values[place, : len(row)] = row
        if self._unseen and self.config.hidden_words:
            ids = values[..., 0]
            ids[np.isin(ids, self._unseen)] = MASK_ID
        mask = np.arange(values.shape[1]) < lengths[:, None]
        whole = np.array([text if length else None for text, length in zip(texts, lengths, strict=True)], dtype=object)
        return Arrays(torch.from_numpy(values), torch.from_numpy(mask), texts=whole)

    def _encoded(self, text: str) -> NDArray[np.int32] | None:
        """``[L, 7]``, which is kept, as long as there is room, since parsing takes longer than training steps."""
        with self._lock:
            if text in self._kept:
                self._kept.move_to_end(text)
                return self._kept[text]
        leaves = self._leaves(text)
        row = self._encode(leaves) if leaves else None
        with self._lock:
            self._kept[text] = row
            self._kept_bytes += len(text) + (0 if row is None else row.nbytes)
            while self._kept_bytes > _MOST_KEPT:
                old, gone = self._kept.popitem(last=False)
                self._kept_bytes -= len(old) + (0 if gone is None else gone.nbytes)
        return row

    def _encode(self, leaves: Sequence[Leaf]) -> NDArray[np.int32]:
        encoding = self.tokenizer.encode([leaf.text for leaf in leaves], is_pretokenized=True)
        most = self.config.max_tokens
        owners = np.array(encoding.word_ids[:most], dtype=np.int64)
        firsts = np.full(len(leaves) + 1, -1)  # the last one stands for no leaf
        firsts[owners[::-1]] = np.arange(len(owners))[::-1]
        row = np.empty((len(owners), COLUMNS), dtype=np.int32)
        row[:, 0] = encoding.ids[:most]
        row[:, 1] = [self._kinds.get(leaves[owner].kind, MASK_ID) for owner in owners]
        row[:, 2] = [leaves[owner].layout for owner in owners]
        for place, name in enumerate(RELATIONS, 3):
            targets = np.array([getattr(leaf, name) for leaf in leaves])
            row[:, place] = firsts[targets[owners]]
        return row

    def vary(self, arrays: Arrays, generator: torch.Generator, *, movement: Movement | None = None) -> Arrays:
        """Words of some programs replaced by ``MASK_ID``, all or a random part of them; their structure stays."""
        del movement
        if not self.config.hidden_words:
            return arrays
        rows, whole, share = torch.rand(3, len(arrays), 1, generator=generator)
        share = torch.where(whole < 0.5, 1.0, share) * (rows < self.config.hidden_words)
        hidden = torch.rand(arrays.mask.shape, generator=generator) < share
        values = arrays.values.clone()
        values[..., 0].masked_fill_(hidden & arrays.mask, MASK_ID)
        return replace(arrays, values=values)

    def state(self) -> dict[str, Any]:
        """The tokenizer in its own JSON, the kinds in order, and the tokens that training never had."""
        return {"tokenizer": self.tokenizer.to_str(), "kinds": list(self._kinds), "unseen": self._unseen}

    @classmethod
    def load(cls, config: CodeConfig, state: dict[str, Any]) -> Self:
        """The inverse of ``state``."""
        from tokenizers import Tokenizer

        code = cls(config)
        code._tokenizer = Tokenizer.from_str(state["tokenizer"])
        code._tokenizer.encode_special_tokens = True
        kinds = TypeAdapter(list[str]).validate_python(state["kinds"])
        code._kinds = {kind: number for number, kind in enumerate(kinds, len(SPECIAL_TOKENS))}
        code._unseen = TypeAdapter(list[NonNegativeInt]).validate_python(state["unseen"])
        return code


def _program(item: object) -> str | None:
    """A cell without what all its lines are indented by; None where it says nothing."""
    text = item if isinstance(item, str) else cell_text(item)
    return None if text is None else textwrap.dedent(text).strip("\n").rstrip() or None


def _cut(text: str, max_tokens: int) -> str:
    """The beginning of a text, up to the end of a line, that can matter."""
    most = max_tokens * _CHARACTERS_PER_TOKEN
    return text if len(text) <= most else text[: text.rfind("\n", 0, most) + 1] or text[:most]


def _leaves_or_none(text: str, language: str) -> list[Leaf] | None:
    try:
        return leaves_of(text, language)
    except DataError:
        return None


@dataclass
class Leaf:
    """A leaf of a syntax tree. Others are named by their places in the order of the text; -1 is none.

    Attributes:
        text: what stands there.
        kind: the type of its parent node and the field that it is in.
        layout: the depth of blocks up to 15, 16 more where it begins a line.
        last_use: where its name stands before.
        last_write: where its name was given a value before.
        computes: the name that gets the value which it is part of.
        stands_in: the first leaf of the least node that begins before it.
    """

    text: str
    kind: str
    layout: int
    last_use: int = -1
    last_write: int = -1
    computes: int = -1
    stands_in: int = -1


@dataclass
class _Node:
    """A node on the way to a leaf: its type, its role in its parent, its first leaf, and names that it writes."""

    type: str
    role: str | None
    first: int
    depth: int
    written: list[tuple[str, int]] = field(default_factory=list)


def leaves_of(text: str, language: str) -> list[Leaf]:
    """The leaves of the syntax tree of ``text``, in order, with the data flow between them.

    Data flows as the text goes: a name means what was last written to it above, in whatever function that is. A value
    is written when the assignment ends that gives it.

    Raises:
        DataError: no parser takes the text.
        MissingExtraError: tree-sitter is not installed.
    """
    cursor = parse(text, language).walk()
    source = text.encode("utf-8", "replace")
    leaves: list[Leaf] = []
    path: list[_Node] = []
    flow = _Flow()
    row = -1
    while True:
        node = cursor.node
        assert node is not None, "the cursor stands in the tree"
        if node.child_count:
            depth = (path[-1].depth if path else 0) + (node.type in _BLOCKS)
            path.append(_Node(node.type, cursor.field_name, len(leaves), depth))
            cursor.goto_first_child()
            continue
        said = source[node.start_byte : node.end_byte].decode("utf-8", "replace").strip()
        if said:
            parent = path[-1] if path else _Node("", None, 0, 0)
            layout = min(parent.depth, NUM_LAYOUTS // 2 - 1) + NUM_LAYOUTS // 2 * (node.start_point[0] != row)
            leaf = Leaf(said, f"{parent.type}.{cursor.field_name or ''}", layout)
            row = node.start_point[0]
            leaf.stands_in = next((each.first for each in reversed(path) if each.first < len(leaves)), -1)
            flow.add(leaf, len(leaves), node.type, cursor.field_name, path)
            leaves.append(leaf)
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return leaves
            flow.close(path.pop())


class _Flow:
    """What names mean at the place that has been reached."""

    def __init__(self) -> None:
        self._used: dict[str, int] = {}
        self._written: dict[str, int] = {}

    def add(self, leaf: Leaf, place: int, kind: str, name: str | None, path: Sequence[_Node]) -> None:
        """Tell a leaf where its name stands before, and where what it is part of is written."""
        if not kind.endswith("identifier") or name in ("attribute", "property"):
            return
        leaf.last_use = self._used.get(leaf.text, -1)
        leaf.last_write = self._written.get(leaf.text, -1)
        self._used[leaf.text] = place
        if _is_written(name, path):
            assignment = next((node for node in reversed(path) if "assign" in node.type), None)
            if assignment is None:
                self._written[leaf.text] = place
            else:
                assignment.written.append((leaf.text, place))
            return
        for node, child in _with_fields(name, path):
            if "assign" in node.type and child in ("right", "value") and node.written:
                leaf.computes = node.written[0][1]
                return

    def close(self, node: _Node) -> None:
        """An assignment ends, and its names have their values."""
        self._written.update(node.written)


def _with_fields(name: str | None, path: Sequence[_Node]) -> Iterator[tuple[_Node, str | None]]:
    """The nodes around a leaf, the nearest first, with the field that leads to it."""
    for node in reversed(path):
        yield node, name
        name = node.role


def _is_written(name: str | None, path: Sequence[_Node]) -> bool:
    """Whether a name gets a value where it stands: at the left of an assignment, as a parameter, by a loop."""
    for node, child in _with_fields(name, path):
        if node.type in _LISTS:
            continue
        if child == "left":
            return "assign" in node.type or node.type.startswith("for")
        if child == "name":
            return any(part in node.type for part in _BINDS)
        return child in ("declarator", "pattern", "alias") or (child is None and "parameter" in node.type)
    return False
