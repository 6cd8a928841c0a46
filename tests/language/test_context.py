import torch

from generation_scene import engine
from tonggan.language.context import Context
from tonggan.language.engine import Engine, Session
from tonggan.language.prompt import Prompt


class CountingSession(Session):
    """Counts the positions that are read."""

    def __init__(self, inner, counts):
        self._inner, self._counts = inner, counts

    def prefill(self, values, *, mask, rows):
        self._counts.append(values.shape[1])
        return self._inner.prefill(values, mask=mask, rows=rows)

    def step(self, ids, *, rows):
        return self._inner.step(ids, rows=rows)

    def truncate(self, lengths, *, rows):
        self._inner.truncate(lengths, rows=rows)

    def copy(self, sources, *, rows):
        self._inner.copy(sources, rows=rows)


class CountingEngine(Engine):
    """The tiny engine with counters."""

    name = "counting"

    def __init__(self):
        inner = engine(max_length=2048)
        self.max_length, self.counts, self.capacities, self._inner = inner.max_length, [], [], inner

    def embed(self, ids):
        return self._inner.embed(ids)

    def hidden(self, values, *, mask):
        return self._inner.hidden(values, mask=mask)

    def logits(self, hidden):
        return self._inner.logits(hidden)

    def session(self, num_rows, *, capacity):
        self.capacities.append(capacity)
        return CountingSession(self._inner.session(num_rows, capacity=capacity), self.counts)


def prompt(*ids):
    return Prompt((torch.tensor(ids),))


def test_only_what_differs_is_read():
    counting = CountingEngine()
    context = Context(counting)
    first = context.read(prompt(5, 6, 7, 8), room=10)
    context.step([9])
    context.step([10, 11])
    assert context.length == 7
    grown = context.read(prompt(5, 6, 7, 8, 9, 10, 12, 13), room=10)
    other = context.read(prompt(5, 99), room=10)
    again = context.read(prompt(5, 99), room=10)
    assert counting.counts == [4, 2, 1, 1]
    for found, ids in ((first, (5, 6, 7, 8)), (grown, (5, 6, 7, 8, 9, 10, 12, 13)), (other, (5, 99)), (again, (5, 99))):
        torch.testing.assert_close(found, Context(engine()).read(prompt(*ids), room=10), rtol=1e-4, atol=1e-4)


def test_equal_embeddings_are_common_and_others_are_not():
    counting = CountingEngine()
    context = Context(counting)
    picture, other = torch.randn(2, 3, counting.embed(torch.tensor([0])).shape[-1])
    for values in (picture, picture, other):
        context.read(Prompt((torch.tensor([5]), values, torch.tensor([6, 7]))), room=10)
    assert counting.counts == [6, 1, 5]


def test_it_grows_with_the_text_and_no_further_than_the_model():
    counting = CountingEngine()
    context = Context(counting)
    for length in (10, 600, 700, 1500):
        context.read(prompt(*[5] * length), room=10)
    assert counting.capacities == [512, 1024, 2048]


def test_steps_after_forgetting_are_as_if_nothing_had_been():
    context = Context(engine())
    context.read(prompt(5, 6), room=10)
    expected = context.step([7])
    context.forget(2)
    context.step([50, 60, 70])
    context.forget(2)
    torch.testing.assert_close(context.step([7]), expected)
