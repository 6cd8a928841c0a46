import threading

import pytest
import torch

from generation_scene import language_model, random_prompts
from serving_scene import endless_model, until
from tonggan.errors import DataError, QueueFullError, TimeLimitError
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.serving.job import Job
from tonggan.serving.scheduler import Scheduler

GREEDY = GenerationConfig(max_tokens=30)


class Received:
    """What a job was told."""

    def __init__(self, prompt, settings=GREEDY, *, timeout=60.0):
        self.pieces = []
        self.over = threading.Event()
        self.job = Job(prompt, settings, self._receive, timeout)

    def _receive(self, piece):
        self.pieces.append(piece)
        if isinstance(piece, Exception) or piece.finish is not None:
            self.over.set()

    def whole(self):
        assert self.over.wait(60)
        if isinstance(self.pieces[-1], Exception):
            raise self.pieces[-1]
        return [id_ for piece in self.pieces for id_ in piece.token_ids], "".join(piece.text for piece in self.pieces)


@pytest.fixture
def make():
    made = []

    def build(model, *, slots=4, queue=100, max_length=4096, **options):
        made.append(Scheduler(model, slots=slots, queue=queue, max_length=max_length, **options))
        return made[-1]

    yield build
    for scheduler in made:
        scheduler.close()


def prompts(count):
    return [Prompt((ids,)) for ids in random_prompts(count, seed=5)]


@pytest.mark.parametrize("prefill", [4, 512])
def test_many_at_once_are_what_each_is_alone(make, prefill):
    model = language_model()
    settings = [GREEDY.model_copy(update={"temperature": 0.8 * (n % 2), "seed": n}) for n in range(20)]
    scheduler = make(model, prefill=prefill)
    received = [Received(prompt, each) for prompt, each in zip(prompts(20), settings, strict=True)]
    for each in received:
        scheduler.submit([each.job])
    for each, prompt, own in zip(received, prompts(20), settings, strict=True):
        expected = model.generate([prompt], own)[0]
        assert each.whole() == (expected.token_ids, expected.text)
    assert scheduler.active == scheduler.waiting == 0


def test_rows_are_stepped_together(make, monkeypatch):
    model, steps = endless_model(), []
    logits = model.engine.logits
    monkeypatch.setattr(model.engine, "logits", lambda hidden: steps.append(len(hidden)) or logits(hidden))
    scheduler = make(model, slots=8)
    received = [Received(prompt, GREEDY.model_copy(update={"max_tokens": 25})) for prompt in prompts(8)]
    scheduler.submit([each.job for each in received])
    for each in received:
        each.whole()
    assert len(steps) < 8 * 25 / 2


def test_a_chat_that_goes_on_reads_only_what_is_new(make):
    model = language_model()
    read = []
    scheduler = make(model, slots=2)
    session = scheduler._session
    prefill = session.prefill
    session.prefill = lambda values, **rest: (read.append(values.shape[1]), prefill(values, **rest))[1]
    first = model.prompt("the cat sat on the mat")
    ids, _ = (one := Received(first), scheduler.submit([one.job]), one.whole())[2]
    longer = Prompt((torch.tensor([*first.ids, *ids, *model.prompt("and the dog").ids]),))
    other = Received(longer)
    scheduler.submit([other.job])
    expected = model.generate([longer], GREEDY)[0]
    assert other.whole()[0] == expected.token_ids
    assert read == [first.length, longer.length - first.length - len(ids) + 1]


def test_embeddings_are_never_taken_for_those_of_another(make):
    model = language_model()
    scheduler = make(model, slots=1)
    for seed in (0, 1):
        values = torch.randn(3, model.engine.dim, generator=torch.Generator().manual_seed(seed))
        prompt = Prompt((values, torch.tensor([5, 6])))
        one = Received(prompt)
        scheduler.submit([one.job])
        assert one.whole()[0] == model.generate([prompt], GREEDY)[0].token_ids


def test_cancel_frees_the_row(make):
    scheduler = make(endless_model(seconds=0.002), slots=1)
    endless, waiting = (Received(prompt, GenerationConfig(max_tokens=4000)) for prompt in prompts(2))
    short = Received(prompts(3)[2], GenerationConfig(max_tokens=3))
    scheduler.submit([endless.job, waiting.job, short.job])
    until(lambda: len(endless.pieces) > 3)
    waiting.job.cancel()
    endless.job.cancel()
    short.whole()
    assert not waiting.pieces
    assert len(endless.pieces) < 1000
    assert scheduler.active == 0


def test_what_takes_too_long_ends_where_it_is_and_where_it_waits(make):
    scheduler = make(endless_model(seconds=0.002), slots=1)
    received = [Received(prompt, GenerationConfig(max_tokens=4000), timeout=0.1) for prompt in prompts(2)]
    scheduler.submit([each.job for each in received])
    for each in received:
        with pytest.raises(TimeLimitError, match=r"no end within 0\.1 s"):
            each.whole()
    assert received[0].pieces[:-1]
    assert not received[1].pieces[:-1]


def test_the_queue_is_bounded(make):
    scheduler = make(endless_model(seconds=0.002), slots=1, queue=2)
    received = [Received(prompt, GenerationConfig(max_tokens=4000)) for prompt in prompts(3)]
    scheduler.submit([each.job for each in received])
    assert (scheduler.active, scheduler.waiting) == (1, 2)
    with pytest.raises(QueueFullError, match="got 3 texts being written or waiting"):
        scheduler.submit([Received(prompts(1)[0]).job])
    with pytest.raises(DataError, match="at most 3, the slots and the queue"):
        scheduler.submit([Received(prompts(1)[0]).job] * 4)
    for each in received:
        each.job.cancel()
    until(lambda: scheduler.active == 0)
    assert len(received[0].pieces) < 1000
    last = Received(prompts(1)[0], GenerationConfig(max_tokens=2))
    scheduler.submit([last.job])
    last.whole()


def test_a_prompt_that_is_too_long_takes_no_room(make):
    scheduler = make(language_model(max_length=64), max_length=32)
    good, bad = Received(prompts(1)[0]), Received(Prompt((torch.arange(3, 35),)))
    with pytest.raises(DataError, match="got 32 tokens, expected at most 31 of the 32"):
        scheduler.submit([good.job, bad.job])
    assert (scheduler.active, good.pieces) == (0, [])
    scheduler.submit([good.job])
    assert len(good.whole()[0]) <= 32 - good.job.prompt.length


def test_a_text_that_fails_takes_no_other_with_it(make, caplog):
    model = language_model()
    scheduler = make(model)
    good, bad = (Received(prompt) for prompt in prompts(2))
    begin = scheduler._begin

    def break_one(job):
        continuation = begin(job)
        if job is bad.job:
            continuation.choose = lambda _: 1 // 0
        return continuation

    scheduler._begin = break_one
    scheduler.submit([good.job, bad.job])
    with pytest.raises(ZeroDivisionError):
        bad.whole()
    assert good.whole()[0] == model.generate([good.job.prompt], GREEDY)[0].token_ids
    assert "a text failed" in caplog.text


def test_a_step_that_fails_ends_its_texts_and_the_next_ones_start_anew(make, caplog):
    model = language_model()
    scheduler = make(model)
    scheduler._session.step = lambda *_, **__: 1 // 0
    first, second = (Received(prompt) for prompt in prompts(2))
    scheduler.submit([first.job])
    with pytest.raises(ZeroDivisionError):
        first.whole()
    scheduler.submit([second.job])
    assert second.whole()[0] == model.generate([second.job.prompt], GREEDY)[0].token_ids
    assert "a step of the model failed" in caplog.text


def test_calls_run_between_steps_and_report_their_errors(make):
    model = endless_model(seconds=0.002)
    scheduler = make(model)
    endless = Received(prompts(1)[0], GenerationConfig(max_tokens=4000))
    scheduler.submit([endless.job])
    vectors = scheduler.call(lambda: model.embed(["the cat"])).result(10)
    torch.testing.assert_close(vectors, model.embed(["the cat"]))
    with pytest.raises(DataError, match="at most 4096"):
        scheduler.call(lambda: model.embed(["a " * 5000])).result(10)
    assert not endless.over.is_set()
    endless.job.cancel()


def test_close_finishes_what_was_taken():
    scheduler = Scheduler(endless_model(seconds=0.001), slots=1, queue=10, max_length=64)
    received = [Received(prompt, GenerationConfig(max_tokens=10)) for prompt in prompts(4)]
    scheduler.submit([each.job for each in received])
    scheduler.close()
    assert all(len(each.whole()[0]) == 10 for each in received)
