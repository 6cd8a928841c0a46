import pytest
import torch

from generation_scene import embedded, engine, hugging_face, left_padded, random_prompts, tokenizer
from tonggan.language.decoding import beam_search, greedy

ENDS = (2, *range(100, 112))


def test_greedy_equals_transformers_on_a_ragged_batch():
    ids = random_prompts(6, seed=0)
    values, mask = embedded(ids)
    session = engine().session(8, capacity=values.shape[1] + 20)
    found = greedy(session, values, mask, ends=ENDS, max_tokens=20)
    inputs = left_padded(ids)
    expected = hugging_face().generate(
        **inputs, do_sample=False, max_new_tokens=20, eos_token_id=list(ENDS), pad_token_id=0
    )[:, inputs["input_ids"].shape[1] :]
    ended = (found[:, :-1].unsqueeze(-1) == torch.tensor(ENDS)).any(dim=-1).any(dim=1)
    assert 0 < ended.sum() < 6, "some rows end early, some do not"
    assert found.shape == (6, 20)
    width = expected.shape[1]
    torch.testing.assert_close(found[:, :width].clamp(min=0), expected)
    assert (found[:, width:] == -1).all()


def test_rows_that_have_ended_are_not_stepped():
    ids = random_prompts(6, seed=0)
    values, mask = embedded(ids)
    session = engine().session(6, capacity=values.shape[1] + 20)
    found = greedy(session, values, mask, ends=ENDS, max_tokens=20)
    lengths = (found >= 0).sum(dim=1)
    assert session.lengths.tolist() == (mask.sum(dim=1) + lengths - 1).tolist()
    assert len(set(lengths.tolist())) > 1


def test_a_session_can_be_used_again():
    ids = random_prompts(3, seed=1)
    values, mask = embedded(ids)
    session = engine().session(3, capacity=values.shape[1] + 5)
    first = greedy(session, values, mask, ends=(2,), max_tokens=5)
    assert torch.equal(first, greedy(session, values, mask, ends=(2,), max_tokens=5))
    assert first.max() < tokenizer().size


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 1.0, 2.5])
@pytest.mark.parametrize(("ends", "num_beams"), [((2,), 4), (tuple(range(2, 60)), 3), ((7, 90), 5)])
def test_equals_transformers(ends, num_beams, length_penalty):
    ids = random_prompts(5, seed=num_beams)
    values, mask = embedded(ids)
    found = beam_search(
        engine(), values, mask, ends=ends, max_tokens=12, num_beams=num_beams, length_penalty=length_penalty
    )
    inputs = left_padded(ids)
    expected = hugging_face().generate(
        **inputs,
        do_sample=False,
        num_beams=num_beams,
        length_penalty=length_penalty,
        early_stopping=False,
        max_new_tokens=12,
        eos_token_id=list(ends),
        pad_token_id=0,
    )[:, inputs["input_ids"].shape[1] :]
    width = expected.shape[1]
    filled = found.masked_fill(found < 0, ends[0])  # as transformers fills up where the padding token is 0
    torch.testing.assert_close(filled[:, :width], expected)
    assert (found[:, width:] == -1).all()


def test_one_beam_is_greedy():
    values, mask = embedded(random_prompts(4, seed=5))
    options = {"ends": tuple(range(2, 60)), "max_tokens": 10}
    found = beam_search(engine(), values, mask, num_beams=1, **options)
    session = engine().session(4, capacity=values.shape[1] + 10)
    assert torch.equal(found, greedy(session, values, mask, **options))


def test_a_row_does_not_depend_on_the_others():
    ids = random_prompts(4, seed=6)
    options = {"ends": tuple(range(2, 60)), "max_tokens": 10, "num_beams": 4}
    together = beam_search(engine(), *embedded(ids), **options)
    for row, own in enumerate(ids):
        assert torch.equal(beam_search(engine(), *embedded([own]), **options)[0], together[row])


def test_finds_a_better_text_than_greedy():
    values, mask = embedded(random_prompts(8, seed=7))
    options = {"ends": (), "max_tokens": 8}
    session = engine().session(8, capacity=values.shape[1] + 8)
    scores = [
        score(values, mask, greedy(session, values, mask, **options)),
        score(values, mask, beam_search(engine(), values, mask, num_beams=6, **options)),
    ]
    assert scores[1].sum() > scores[0].sum() + 0.5


def score(values, mask, ids):
    """Summed log-probability of each row's continuation, from one pass over prompt and continuation."""
    sums = []
    for row in range(len(values)):
        prompt = values[row, mask[row]]
        whole = torch.cat([prompt, engine().embed(ids[row])]).unsqueeze(0)
        hidden = engine().hidden(whole, mask=torch.ones(whole.shape[:2], dtype=torch.bool))
        logprobs = engine().logits(hidden)[0, len(prompt) - 1 : -1].log_softmax(dim=-1)
        sums.append(logprobs.gather(1, ids[row].unsqueeze(1)).sum())
    return torch.stack(sums)
