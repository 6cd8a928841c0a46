from collections import Counter

import pytest
import torch

from tonggan.codelm.review.learned.examples import Example, Vocabulary, collate
from tonggan.codelm.review.learned.network import RelationalAttention, RewriteScorer, RewriteScorerConfig

TEXTS = [
    "def f(a, b):\n    return a",
    "def clamp(value, low, high):\n    if value < low:\n        return low\n    if value > high:\n        return high\n"
    "    return value",
    "def g():\n    return h()",  # nothing in it can be changed
]


def words_of(examples):
    return Counter(word for example in examples for token in example.graph.tokens for word in token.words)


@pytest.fixture
def scene():
    examples = [Example.of(text) for text in TEXTS]
    vocabulary = Vocabulary.of(words_of(examples), size=100)
    torch.manual_seed(0)
    scorer = RewriteScorer(len(vocabulary), config=RewriteScorerConfig(dim=16, num_layers=2, num_heads=2)).eval()
    with torch.no_grad():
        for table in (scorer.edges, scorer.distances):
            table.weight.normal_()
    return examples, vocabulary, scorer


def test_a_function_is_scored_alike_alone_and_beside_others(scene):
    examples, vocabulary, scorer = scene
    together = scorer(collate(examples, vocabulary))
    for row, example in zip(together, examples, strict=True):
        alone = scorer(collate([example], vocabulary))[0]
        assert len(alone) == 1 + len(example.rewrites)
        torch.testing.assert_close(row[: len(alone)], alone, atol=1e-5, rtol=1e-5)
        assert torch.isneginf(row[len(alone) :]).all()


def test_edges_change_what_a_function_means(scene):
    examples, vocabulary, scorer = scene
    batch = collate(examples[1:2], vocabulary)
    whole = scorer.encode(batch)
    without = collate(examples[1:2], vocabulary)
    object.__setattr__(without, "edges", without.edges[:0])
    assert not torch.allclose(whole, scorer.encode(without), atol=1e-3)


def test_attention_without_bias_is_the_plain_one():
    torch.manual_seed(0)
    attention, values = RelationalAttention(16, num_heads=4), torch.randn(2, 5, 16)
    mask = torch.ones(2, 5, dtype=torch.bool)
    torch.testing.assert_close(attention.related(values, torch.zeros(1)), attention(values, mask=mask))


def test_words_beyond_the_vocabulary_share_places():
    vocabulary = Vocabulary(["low"])
    assert vocabulary.number("low") == len(vocabulary) - 1
    numbers = {vocabulary.number(f"word{number}") for number in range(1000)}
    assert max(numbers) < len(vocabulary) - 1
    assert vocabulary.number("word1") == Vocabulary(["low", "high"]).number("word1")


def test_the_vocabulary_holds_the_most_frequent_words(scene):
    examples, _, _ = scene
    small = Vocabulary.of(words_of(examples), size=3)
    assert small.words == ("<newline>", ":", "<dedent>")
    assert {"value", "low", "high"} < set(Vocabulary.of(words_of(examples[1:2]), size=50).words)
