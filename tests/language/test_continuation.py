import itertools
import random

import pytest
import torch

from generation_scene import tokenizer
from tonggan.language.continuation import Continuation
from tonggan.language.settings import GenerationConfig

VOCAB_SIZE = 300


def byte_tokens(content: bytes) -> list[int]:
    """One token for each byte, the finest way to cut a text."""
    ids = {tokenizer().bytes_of(id_): id_ for id_ in range(tokenizer().size)}
    return [ids[bytes([byte])] for byte in content]


def one_hot(id_: int) -> torch.Tensor:
    return torch.zeros(tokenizer().size).index_fill(0, torch.tensor(id_), 9.0)


def write(ids, *, prompt=(), max_tokens=100, **settings):
    """The pieces of text, and why it ended, of a model that wants to write ``ids``."""
    text = Continuation(prompt, GenerationConfig(**settings), tokenizer(), max_tokens=max_tokens)
    pieces = []
    for id_ in ids:
        if text.finished is not None:
            break
        assert text.choose(one_hot(id_)) == id_
        pieces.append(text.take_text())
    return pieces, text.finished


def test_an_end_finishes_and_leaves_no_text():
    pieces, finish = write([*tokenizer().encode("the cat"), 2, 5])
    assert "".join(pieces) == "the cat"
    assert finish == "stop"


@pytest.mark.parametrize(("limits", "length"), [((3, 9), 3), ((9, 3), 3)])
def test_the_smaller_of_both_limits_finishes(limits, length):
    text = Continuation([], GenerationConfig(max_tokens=limits[1]), tokenizer(), max_tokens=limits[0])
    while text.finished is None:
        text.append(50)
    assert (text.finished, len(text.tokens)) == ("length", length)


@pytest.mark.parametrize("sample", ["你好，世界", "a😀b🇨🇳c", "naïve"])
def test_no_piece_holds_half_a_character(sample):
    pieces, finish = write(byte_tokens(sample.encode()))
    assert "�" not in "".join(pieces)
    assert "".join(pieces) == sample
    assert finish is None


def test_half_a_character_at_the_end_is_one_replacement():
    ids = byte_tokens("好😀".encode()[:-1])
    pieces, finish = write(ids, max_tokens=len(ids))
    assert "".join(pieces) == "好\ufffd"
    assert finish == "length"
    pieces, finish = write([*ids, 2])
    assert "".join(pieces) == "好\ufffd"


def test_bytes_that_never_become_a_character_are_replaced_at_once():
    pieces, _ = write([*byte_tokens("好".encode()[:2]), *byte_tokens(b"ok")])
    assert "".join(pieces) == "\ufffdok"


@pytest.mark.parametrize(
    ("content", "stops", "expected"),
    [
        ("one\n\ntwo", ["\n\n"], "one"),
        ("aab", ["ab"], "a"),
        ("ababac!", ["abac"], "ab"),
        ("xabcd", ["bc", "abcd"], "xa"),  # complete first, though it begins later
        ("xabc", ["abc", "bc"], "x"),  # complete together: the longer
        ("今天好。明天", ["。"], "今天好"),
        ("STOP", ["STOP"], ""),
    ],
)
def test_a_stop_string_cuts_however_tokens_cut_the_text(content, stops, expected):
    raw = content.encode()
    for seed in range(20):
        cut = random.Random(seed)
        text = Continuation([], GenerationConfig(stop=stops), FakeWords(raw, cut), max_tokens=100)
        shown = ""
        while text.finished is None:
            text.append(len(text.tokens))
            shown += text.take_text()
            assert expected.startswith(shown), "a part of the stop was shown"
        assert (shown, text.finished) == (expected, "stop")


class FakeWords:
    """A vocabulary whose tokens are the pieces of one text, cut at random places, even within characters."""

    ends = ()

    def __init__(self, raw: bytes, cut: random.Random) -> None:
        places = sorted({0, len(raw), *(cut.randrange(len(raw)) for _ in range(cut.randrange(6)))})
        self._words = [raw[start:end] for start, end in itertools.pairwise(places)]

    def bytes_of(self, id_):
        return self._words[id_]


def test_the_beginning_of_a_stop_is_shown_when_it_comes_to_nothing():
    pieces, finish = write(byte_tokens(b"a END"), stop=["ENDING"], max_tokens=5)
    assert pieces == ["a", " ", "", "", "END"]
    assert finish == "length"
    pieces, finish = write(byte_tokens(b"ENDLESS"), stop=["ENDING"])
    assert "".join(pieces) == "ENDLESS"
    assert finish is None


def test_repetition_penalty_counts_the_prompt_and_the_text_and_no_pictures():
    logits = torch.zeros(VOCAB_SIZE)
    logits[10], logits[11], logits[12], logits[-1] = 3.0, 2.9, 2.8, 2.7
    text = Continuation(
        [-1, -1, 10], GenerationConfig(repetition_penalty=2.0), FakeWords(b"x", random.Random(0)), max_tokens=9
    )
    text.append = lambda id_: (text.tokens.append(id_), text._seen.add(id_))
    assert [text.choose(logits) for _ in range(4)] == [11, 12, VOCAB_SIZE - 1, 10]


def test_logprobs_are_of_the_model_alone():
    logits = torch.randn(tokenizer().size, generator=torch.Generator().manual_seed(0))
    order = logits.argsort(descending=True).tolist()
    settings = GenerationConfig(
        logprobs=3, temperature=0.01, repetition_penalty=50.0, stop=["never"], top_k=1, regex="[a-z]+"
    )
    text = Continuation([order[0]], settings, tokenizer(), max_tokens=9)
    chosen = text.choose(logits)
    found = text.logprobs[0]
    expected = logits.log_softmax(dim=0)
    assert found.token_id == chosen != order[0]
    assert found.logprob == pytest.approx(float(expected[chosen]), abs=1e-6)
    assert [id_ for id_, _ in found.top] == order[:3]
    assert [value for _, value in found.top] == pytest.approx(expected[order[:3]].tolist(), abs=1e-6)


def test_the_seed_decides_the_draws():
    logits = torch.zeros(tokenizer().size)

    def draws(seed):
        text = Continuation([], GenerationConfig(temperature=1.0, seed=seed), tokenizer(), max_tokens=12)
        while text.finished is None:
            text.choose(logits)
        return text.tokens

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
