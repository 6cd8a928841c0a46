import math

import pytest
import torch

from generation_scene import engine, tokenizer
from tonggan.codelm.completion.decoding import Decoder
from tonggan.language.model import LanguageModel
from tonggan.language.settings import GenerationConfig

PROMPT = "the cat sat on"


@pytest.fixture
def model():
    return LanguageModel(engine(), tokenizer(), name="tiny")


def never(_text):
    return None


def write(decoder, model, prompt=PROMPT, *, typed="", stop=never, max_tokens=12, start=None, cancelled=lambda: False):
    decoder.begin(model.tokenizer.encode(prompt), typed=typed, room=32)
    return decoder.write(stop, max_tokens=max_tokens, cancelled=cancelled, start=start)


@pytest.mark.parametrize("lookup", [0, 6])
def test_greedy_text_is_that_of_the_stream(model, lookup):
    ids = torch.tensor(model.tokenizer.encode(PROMPT))
    settings = GenerationConfig(max_tokens=12, logprobs=0)
    from tonggan.language.prompt import Prompt

    expected = model.generate([Prompt((ids,))], settings)[0]
    draft = write(Decoder(model, lookup=lookup), model)
    spelled = b"".join(model.tokenizer.bytes_of(token) for token in draft.tokens)
    assert list(draft.tokens) == expected.token_ids
    assert draft.text == spelled.decode(errors="ignore")
    assert draft.logprobs == pytest.approx([each.logprob for each in expected.logprobs], abs=1e-4)


def test_half_words_are_written_again_and_left_out(model):
    decoder = Decoder(model, lookup=0)
    whole = write(decoder, model, typed=" th")
    spelled = b"".join(model.tokenizer.bytes_of(token) for token in whole.tokens)
    assert spelled.startswith(b" th")
    assert spelled[3:].decode(errors="ignore") == whole.text
    assert whole.ends[0] == max(0, len(model.tokenizer.bytes_of(whole.tokens[0])) - 3)


def test_typed_characters_of_several_bytes(model):
    draft = write(Decoder(model, lookup=4), model, typed="价格")
    spelled = b"".join(model.tokenizer.bytes_of(token) for token in draft.tokens)
    assert spelled.startswith("价格".encode())


def test_a_branch_goes_on_as_a_text_of_its_own(model):
    decoder = Decoder(model, lookup=0)
    draft = write(decoder, model)
    begun = draft.branch(2, rank=1)
    assert begun.tokens[:2] == draft.tokens[:2]
    assert begun.tokens[2] != draft.tokens[2]
    assert begun.logprobs[2] <= draft.logprobs[2]
    other = decoder.write(never, max_tokens=12, cancelled=lambda: False, start=begun)
    fresh = Decoder(model, lookup=0)
    prompt = model.tokenizer.encode(PROMPT)
    fresh.begin([*prompt, *begun.tokens], typed="", room=32)
    rest = fresh.write(never, max_tokens=12 - 3, cancelled=lambda: False)
    assert other.tokens == (*begun.tokens, *rest.tokens)


def test_a_score_is_the_mean_log_probability(model):
    decoder = Decoder(model, lookup=0)
    prompt = model.tokenizer.encode(PROMPT)
    written, following = model.tokenizer.encode(" the mat"), model.tokenizer.encode("the cat sat")
    decoder.begin(prompt, typed="", room=32)
    from tonggan.language.prompt import Prompt

    every = model.log_probabilities(Prompt((torch.tensor([*prompt, *written, *following]),)))
    expected = sum(every[-len(following) :]) / len(following)
    assert decoder.score(written, following) == pytest.approx(expected, abs=1e-4)
    assert decoder.score([], following) < 0
    assert decoder.score(written, following) == pytest.approx(expected, abs=1e-4)


def test_a_stop_ends_the_text_and_a_limit_does_not(model):
    decoder = Decoder(model, lookup=0)
    stopped = write(decoder, model, stop=lambda text: 3 if len(text) >= 3 else None)
    assert len(stopped.text) == 3
    assert stopped.is_complete
    short = write(decoder, model, max_tokens=2)
    assert len(short.tokens) == 2
    assert not short.is_complete or short.tokens[-1] in model.tokenizer.ends


def test_control_tokens_end_the_text(model):
    class Ending(type(model.engine)):
        def logits(self, hidden):
            logits = super().logits(hidden)
            logits[..., 0] = logits.max() + 10  # <pad>, which is no end of a text
            return logits

    ending = LanguageModel(Ending(engine().model), tokenizer(), name="tiny")
    draft = write(Decoder(ending, lookup=0), ending)
    assert (draft.text, draft.is_complete, len(draft.tokens)) == ("", True, 1)


def test_cancelled(model):
    asked = []
    assert write(Decoder(model, lookup=0), model, cancelled=lambda: bool(asked.append(0)) or len(asked) > 3) is None
    assert len(asked) == 4


def test_runners_up_hold_the_chosen_one_first(model):
    draft = write(Decoder(model, lookup=0), model)
    for token, logprob, others in zip(draft.tokens, draft.logprobs, draft.runners_up, strict=True):
        assert others[0] == (token, logprob)
        assert all(math.isfinite(each) and each <= logprob for _, each in others)


def test_the_same_prompt_may_ask_for_more_room():
    decoder = Decoder(LanguageModel(engine(max_length=1024), tokenizer(), name="tiny"), lookup=0)
    ids = (tokenizer().encode(PROMPT) * 505)[:505]  # a context begins with room for 512
    for room in (4, 20):
        decoder.begin(ids, typed="", room=room)
        draft = decoder.write(never, max_tokens=room, cancelled=lambda: False)
        assert draft is not None
        assert len(draft.tokens) == room
