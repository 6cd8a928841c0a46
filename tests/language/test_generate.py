import torch

from generation_scene import embedded, engine, hugging_face, left_padded, random_prompts, tokenizer
from tonggan.language.generate import greedy

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
