import pytest
import torch
import transformers

from tonggan.language.sampling import draw, keep_min_p, keep_top_k, keep_top_p, penalize_repetition, warp
from tonggan.language.settings import GenerationConfig


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
