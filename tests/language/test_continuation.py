import itertools
import random

import pytest
import torch
import transformers

from generation_scene import tokenizer
from tonggan.language.continuation import (
    Continuation,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    warp,
)
from tonggan.language.settings import GenerationConfig

VOCAB_SIZE = 300


def random_logits(*, rows=7, vocab_size=1000, scale=3.0):
    return scale * torch.randn(rows, vocab_size, generator=torch.Generator().manual_seed(0))


def unused():
    return torch.zeros(7, 1, dtype=torch.int64)


@pytest.mark.parametrize("k", [1, 5, 999, 5000])
def test_top_k_equals_transformers(k):
    logits = random_logits()
    expected = transformers.TopKLogitsWarper(k)(unused(), logits)
    torch.testing.assert_close(keep_top_k(logits, k), expected)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 0.99, 0.999])
@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_top_p_equals_transformers(p, scale):
    logits = random_logits(scale=scale)
    expected = transformers.TopPLogitsWarper(p)(unused(), logits)
    torch.testing.assert_close(keep_top_p(logits, p), expected)


@pytest.mark.parametrize("p", [0.01, 0.3, 1.0])
def test_min_p_equals_transformers(p):
    logits = random_logits()
    expected = transformers.MinPLogitsWarper(p)(unused(), logits)
    torch.testing.assert_close(keep_min_p(logits, p), expected)


@pytest.mark.parametrize("penalty", [0.8, 1.3])
def test_repetition_penalty_equals_transformers(penalty):
    logits = random_logits()
    ids = torch.randint(1000, (7, 30), generator=torch.Generator().manual_seed(1))
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, value=True)
    expected = transformers.RepetitionPenaltyLogitsProcessor(penalty)(ids, logits)
    torch.testing.assert_close(penalize_repetition(logits, seen, penalty=penalty), expected)


def test_order_is_that_of_transformers():
    config = transformers.GenerationConfig(
        do_sample=True, temperature=0.7, top_k=50, top_p=0.8, min_p=0.05, repetition_penalty=1.2
    )
    config._eos_token_tensor = None
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                                 num_attention_heads=1)
    )  # fmt: skip
    processors = model._get_logits_processor(config, input_ids_seq_length=30)
    settings = GenerationConfig(temperature=0.7, top_k=50, top_p=0.8, min_p=0.05, repetition_penalty=1.2)
    logits = random_logits()
    ids = torch.randint(1000, (7, 30), generator=torch.Generator().manual_seed(1))
    seen = torch.zeros_like(logits, dtype=torch.bool).scatter(1, ids, value=True)
    own = warp(penalize_repetition(logits, seen, penalty=settings.repetition_penalty), settings)
    expected = processors(ids, logits)
    torch.testing.assert_close(own, expected)
    assert 1 < expected.isfinite().sum(dim=1).float().mean() < 50


def test_draws_follow_the_distribution():
    logits = torch.tensor([0.0, -torch.inf, 1.0, 2.0, -torch.inf])
    generator = torch.Generator().manual_seed(3)
    draws = torch.tensor([draw(logits, generator) for _ in range(4000)])
    found = draws.bincount(minlength=5) / 4000
    torch.testing.assert_close(found, logits.softmax(dim=0), atol=0.02, rtol=0)
    assert found[1] == found[4] == 0


def test_a_draw_survives_the_last_bits_of_the_logits():
    logits = random_logits(rows=200)
    noisy = logits + 1e-5 * torch.randn(logits.shape, generator=torch.Generator().manual_seed(5))
    one, other = torch.Generator().manual_seed(4), torch.Generator().manual_seed(4)
    assert sum(draw(a, one) == draw(b, other) for a, b in zip(logits, noisy, strict=True)) >= 199


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
