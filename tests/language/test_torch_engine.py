import pytest
import torch

from architecture_scene import KINDS, own, random_ids, reference
from contracts import check_engine
from generation_scene import engine, stored_model
from tonggan.language.torch_engine import TorchConfig, TorchEngine

EXACT = {"rtol": 0, "atol": 2e-5}


@pytest.fixture(scope="module")
def ids():
    return torch.randint(3, 300, (3, 16), generator=torch.Generator().manual_seed(3)) % engine().vocab_size


@pytest.fixture(scope="module")
def expected(ids):
    """Logits of the pass without a cache."""
    model = engine().model
    with torch.no_grad():
        return model.logits(model(model.embed(ids)))


def prefilled(ids, lengths, *, num_rows=3):
    session = engine().session(num_rows, capacity=16)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    logits = session.prefill(engine().embed(ids[:, : max(lengths)]), mask=mask, rows=torch.arange(3))
    return session, logits


def test_prefill_of_ragged_rows(ids, expected):
    session, logits = prefilled(ids, [6, 3, 1])
    torch.testing.assert_close(logits, torch.stack([expected[0, 5], expected[1, 2], expected[2, 0]]), **EXACT)
    assert session.lengths.tolist() == [6, 3, 1]


def test_steps_of_level_rows(ids, expected):
    session, _ = prefilled(ids, [4, 4, 4])
    for place in range(4, 16):
        logits = session.step(ids[:, place : place + 1], rows=torch.arange(3))
        torch.testing.assert_close(logits[:, 0], expected[:, place], **EXACT)


def test_steps_of_ragged_rows_up_to_the_capacity(ids, expected):
    session, _ = prefilled(ids, [15, 3, 1])
    logits = session.step(torch.stack([ids[0, 15:], ids[1, 3:4], ids[2, 1:2]]), rows=torch.arange(3))
    torch.testing.assert_close(logits[:, 0], torch.stack([expected[0, 15], expected[1, 3], expected[2, 1]]), **EXACT)


def test_some_rows_in_any_order_and_several_tokens_at_once(ids, expected):
    session, _ = prefilled(ids, [6, 3, 1])
    logits = session.step(torch.stack([ids[2, 1:4], ids[0, 6:9]]), rows=torch.tensor([2, 0]))
    torch.testing.assert_close(logits, torch.stack([expected[2, 1:4], expected[0, 6:9]]), **EXACT)
    assert session.lengths.tolist() == [9, 3, 4]


def test_prefill_goes_on_where_rows_stand(ids, expected):
    session, _ = prefilled(ids, [6, 3, 1])
    mask = torch.tensor([[True, True, False], [True, True, True]])
    values = engine().embed(torch.stack([ids[1, 3:6], ids[2, 1:4]]))
    logits = session.prefill(values, mask=mask, rows=torch.tensor([1, 2]))
    torch.testing.assert_close(logits, torch.stack([expected[1, 4], expected[2, 3]]), **EXACT)


def test_padding_beyond_the_capacity_is_not_written(ids, expected):
    session, _ = prefilled(ids, [14, 14, 14])
    mask = torch.tensor([[True, True, False, False]])
    session.prefill(engine().embed(ids[:1, 12:16]), mask=mask, rows=torch.tensor([1]))
    logits = session.step(ids[:1, 14:15], rows=torch.tensor([0]))
    torch.testing.assert_close(logits[0, 0], expected[0, 14], **EXACT)


def test_truncated_rows_go_on_from_there(ids, expected):
    session, _ = prefilled(ids, [9, 9, 9])
    session.truncate(torch.tensor([4, 7]), rows=torch.tensor([0, 2]))
    logits = session.step(torch.stack([ids[0, 4:6], ids[2, 7:9]]), rows=torch.tensor([0, 2]))
    torch.testing.assert_close(logits, torch.stack([expected[0, 4:6], expected[2, 7:9]]), **EXACT)


def test_copied_rows_hold_what_sources_held_before(ids, expected):
    session, _ = prefilled(ids, [6, 3, 1])
    session.copy(torch.tensor([1, 0, 0]), rows=torch.tensor([0, 1, 2]))
    assert session.lengths.tolist() == [3, 6, 6]
    logits = session.step(torch.stack([ids[1, 3:4], ids[0, 6:7], ids[0, 6:7]]), rows=torch.arange(3))
    torch.testing.assert_close(logits[:, 0], torch.stack([expected[1, 3], expected[0, 6], expected[0, 6]]), **EXACT)


def test_more_tokens_than_capacity_are_asserted(ids):
    session, _ = prefilled(ids, [16, 3, 1])
    with pytest.raises(AssertionError, match="more tokens than the session has room for"):
        session.step(ids[:1, :1], rows=torch.tensor([0]))


def test_hidden_and_logits(ids, expected):
    mask = torch.ones(3, 16, dtype=torch.bool)
    hidden = engine().hidden(engine().embed(ids), mask=mask)
    torch.testing.assert_close(engine().logits(hidden), expected, **EXACT)


def test_bf16_weights_take_and_give_float32(ids, expected):
    import copy

    rounded = TorchEngine(copy.deepcopy(engine().model).bfloat16())
    session = rounded.session(1, capacity=16)
    logits = session.prefill(
        rounded.embed(ids[:1, :5]).float(), mask=torch.ones(1, 5, dtype=torch.bool), rows=torch.arange(1)
    )
    assert logits.dtype == torch.float32
    logits = session.step(ids[:1, 5:6], rows=torch.arange(1))[:, 0]
    assert (logits - expected[:1, 5]).norm() < 0.05 * expected[:1, 5].norm()


def test_under_autocast_the_cache_is_in_its_format(ids, expected):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        session, _ = prefilled(ids, [5, 5, 5])
        logits = session.step(ids[:, 5:6], rows=torch.arange(3))[:, 0]
    assert (logits - expected[:, 5]).norm() < 0.05 * expected[:, 5].norm()


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_decodes_as_transformers_does(kind):
    """Rows of unlike length in one padded batch, many single steps, several tokens at once, and a later prompt."""
    engine, ids = TorchEngine(own(kind)), random_ids(3, 40)
    with torch.no_grad():
        expected = reference(kind)(ids).logits
    session = engine.session(3, capacity=40)
    places, rows = torch.tensor([12, 5, 1]), torch.arange(3)

    def check(logits: torch.Tensor, count: int) -> None:
        after = torch.stack([expected[row, places[row] : places[row] + count] for row in range(3)])
        torch.testing.assert_close(logits, after, rtol=0, atol=1e-4)

    mask = torch.arange(12) < places[:, None]
    last = session.prefill(engine.embed(ids[:, :12]), mask=mask, rows=rows)
    places -= 1
    check(last[:, None], 1)
    places += 1
    for count in (*[1] * 12, 4, 1):
        now = torch.stack([ids[row, places[row] : places[row] + count] for row in range(3)])
        check(session.step(now, rows=rows), count)
        places += count
    mask = torch.arange(9) < torch.tensor([9, 1, 4])[:, None]
    values = engine.embed(torch.stack([ids[row, places[row] : places[row] + 9] for row in range(3)]))
    last = session.prefill(values, mask=mask, rows=rows)
    places += torch.tensor([8, 0, 3])
    check(last[:, None], 1)
    level = engine.session(3, capacity=40)
    places = torch.tensor([20] * 3)
    level.prefill(engine.embed(ids[:, :20]), mask=torch.ones(3, 20, dtype=torch.bool), rows=rows)
    for _ in range(5):
        check(level.step(ids[:, places[0], None], rows=rows), 1)
        places += 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_writes_what_transformers_writes(kind):
    engine, ids = TorchEngine(own(kind)), random_ids(2, 9)
    written = reference(kind).generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=20, eos_token_id=None
    )
    session, rows = engine.session(2, capacity=64), torch.arange(2)
    logits = session.prefill(engine.embed(ids), mask=torch.ones_like(ids, dtype=torch.bool), rows=rows)
    for place in range(9, written.shape[1]):
        assert torch.equal(logits.argmax(-1), written[:, place])
        logits = session.step(written[:, place : place + 1], rows=rows)[:, 0]


def test_contract(tmp_path):
    check_engine(TorchConfig(max_length=64), stored_model(tmp_path), tolerance=1e-4)
