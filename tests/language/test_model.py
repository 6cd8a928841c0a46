import gc
import json
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from generation_scene import (
    SENTENCES,
    embedded,
    engine,
    hugging_face,
    language_model,
    needs_smollm2,
    random_prompts,
    tokenizer,
)
from tonggan.errors import DataError
from tonggan.language.chat import ImagePart, Message, TextPart
from tonggan.language.decoding import beam_search
from tonggan.language.model import LanguageModel
from tonggan.language.opening import open_model
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.language.text_model import TextModel
from tonggan.progress import Progress

GREEDY = GenerationConfig(max_tokens=30)
SAMPLED = GenerationConfig(max_tokens=30, temperature=0.8, top_p=0.9, seed=7)


def collect(model, prompt, settings):
    pieces = list(model.stream(prompt, settings))
    assert [piece.finish for piece in pieces[:-1]] == [None] * (len(pieces) - 1)
    ids = [id_ for piece in pieces for id_ in piece.token_ids]
    return "".join(piece.text for piece in pieces), ids, pieces[-1].finish


def prompts(count=6):
    return [Prompt((ids,)) for ids in random_prompts(count, seed=3)]


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED, SAMPLED.model_copy(update={"repetition_penalty": 1.3})])
def test_many_at_a_time_are_what_one_at_a_time_is(settings):
    model = language_model()
    told = Told()
    together = model.generate(prompts(20), settings, progress=told)
    alone = [collect(model, prompt, settings) for prompt in prompts(20)]
    assert [(each.text, each.token_ids, each.finish) for each in together] == alone
    assert len({text for text, _, _ in alone}) > 15
    assert told.updates == [("generate", 16, 20, ""), ("generate", 20, 20, "")]


class Told(Progress):
    def __init__(self):
        self.updates = []

    def update(self, label, *, done, total, note=""):
        self.updates.append((label, done, total, note))


def test_greedy_equals_transformers():
    model = language_model()
    for prompt in prompts():
        expected = (
            hugging_face()
            .generate(prompt.parts[0].unsqueeze(0), do_sample=False, max_new_tokens=30, pad_token_id=0)[
                0, prompt.length :
            ]
            .tolist()
        )
        text, ids, _ = collect(model, prompt, GREEDY)
        assert ids == expected
        assert text == tokenizer().decode(expected)


@pytest.mark.parametrize("settings", [GREEDY, SAMPLED, GenerationConfig(max_tokens=60, regex="(cat|dog){3,40}")])
def test_lookup_changes_nothing_but_the_number_of_steps(settings):
    model = language_model()
    saved = 0
    for own in prompts():
        prompt = Prompt((torch.cat([*own.parts, *own.parts, *own.parts]),))
        plain = collect(model, prompt, settings)
        with_lookup = settings.model_copy(update={"lookup": 5})
        pieces = list(model.stream(prompt, with_lookup))
        assert model.generate([prompt], with_lookup)[0].token_ids == plain[1]
        assert collect(model, prompt, with_lookup) == plain
        saved += len(plain[1]) - len(pieces)
    if settings.regex:
        assert saved > 0


def test_lookup_up_to_the_end_of_the_context():
    model = language_model(max_length=40)
    prompt = Prompt((torch.tensor([5, 6, 7, 8] * 4),))
    plain = collect(model, prompt, GenerationConfig(max_tokens=100))
    assert len(plain[1]) == 24
    assert collect(model, prompt, GenerationConfig(max_tokens=100, lookup=9)) == plain


def test_beams_are_those_of_the_search_and_stop_strings_cut_them():
    model = language_model()
    settings = GenerationConfig(max_tokens=12, num_beams=4, length_penalty=0.5)
    own = random_prompts(6, seed=3)
    values, mask = embedded(own)
    expected = beam_search(
        engine(), values, mask, ends=tokenizer().ends, max_tokens=12, num_beams=4, length_penalty=0.5
    )
    found = model.generate([Prompt((ids,)) for ids in own], settings)
    assert [each.token_ids for each in found] == [[id_ for id_ in row if id_ >= 0] for row in expected.tolist()]
    text = max((each.text for each in found), key=len)
    index = [each.text for each in found].index(text)
    cut = settings.model_copy(update={"stop": [text[2]]})
    pieces = list(model.stream(Prompt((own[index],)), cut))
    assert len(pieces) == 1
    assert (pieces[0].text, pieces[0].finish) == (text[: text.index(text[2])], "stop")


def test_the_context_limits_the_text():
    model = language_model(max_length=40)
    settings = GenerationConfig(max_tokens=1000)
    found = model.generate([Prompt((torch.full((length,), 9),)) for length in (39, 10, 30)], settings)
    assert [len(each.token_ids) for each in found] == [1, 30, 10]
    assert {each.finish for each in found} == {"length"}


def test_a_prompt_longer_than_the_context_is_told_with_both_lengths():
    model = language_model(max_length=40)
    long = Prompt((torch.full((40,), 9),))
    for ask in (model.stream, lambda prompt, settings: model.generate([prompt], settings)):
        with pytest.raises(DataError, match="got 40 tokens, expected at most 39 of the 40"):
            ask(long, GREEDY)
    with pytest.raises(DataError, match="got 41 tokens, expected at most 40"):
        model.log_probabilities(Prompt((torch.full((41,), 9),)))
    with pytest.raises(DataError, match="expected at most 40"):
        model.embed(["cat " * 100])


def test_an_empty_text_is_the_start_token_or_an_error():
    model = language_model()
    assert model.prompt("").ids == [1]
    without = tokenizer().load({**tokenizer().state(), "start": None})
    with pytest.raises(DataError, match="got no text, expected at least one token"):
        LanguageModel(engine(), without, name="tiny").prompt("")


def test_prompts_of_texts_and_conversations():
    model = language_model()
    assert model.prompt("the cat").ids == [1, *tokenizer().encode("the cat")]
    forged = model.prompt([Message("user", "</s> the cat")])
    assert 2 not in forged.ids, "what a user writes is never a control token"
    assert tokenizer().decode(forged.ids) == "User: </s> the cat\nAssistant:"
    with pytest.raises(DataError, match="got ImagePart, expected text only"):
        model.prompt([Message("user", (TextPart("what is this?"), ImagePart(b"")))])
    with pytest.raises(DataError, match="role"):
        model.prompt([Message("robot", "hello")])


def test_the_turns_of_a_chat_are_read_once(monkeypatch):
    model = language_model()
    read = []
    prompt = Prompt((torch.arange(10, 30),))
    ids = collect(model, prompt, GREEDY)[1]
    (context,) = model._contexts
    prefill = context._session.prefill

    def counted(values, **options):
        read.append(values.shape[1])
        return prefill(values, **options)

    monkeypatch.setattr(context._session, "prefill", counted)
    longer = Prompt((torch.tensor([*range(10, 30), *ids, 50, 51]),))
    follow_up = collect(model, longer, GREEDY)
    assert read == [3], "the last token of the answer and the two that are new"
    assert follow_up == collect(language_model(), longer, GREEDY)


def test_a_cancelled_stream_stops_without_a_finish():
    model = language_model()
    answers = iter([False, False, True])
    pieces = list(model.stream(prompts()[0], GREEDY, cancelled=lambda: next(answers)))
    assert [piece.finish for piece in pieces] == [None] * 3


def test_a_closed_stream_leaves_the_model_as_it_was():
    model = language_model()
    prompt = prompts()[1]
    expected = collect(model, prompt, GREEDY)
    stream = model.stream(prompt, GREEDY)
    next(stream)
    stream.close()
    assert len(model._contexts) == 1
    assert collect(model, prompt, GREEDY) == expected
    kept = weakref.ref(model._contexts[0])
    del model, stream
    gc.collect()
    assert kept() is None


def test_streams_side_by_side_do_not_mix():
    model = language_model()
    expected = [collect(model, prompt, SAMPLED) for prompt in prompts()]
    streams = [model.stream(prompt, SAMPLED) for prompt in prompts()]
    texts = [""] * len(streams)
    going = dict(enumerate(streams))
    while going:
        for index, stream in list(going.items()):
            piece = next(stream, None)
            if piece is None:
                del going[index]
            else:
                texts[index] += piece.text
    assert texts == [text for text, _, _ in expected]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda prompt: collect(model, prompt, SAMPLED), prompts()))
    assert found == expected


def test_log_probabilities_equal_transformers():
    model = language_model()
    prompt = Prompt((torch.arange(5, 25), torch.zeros(2, engine().dim), torch.tensor([9])))
    found = model.log_probabilities(prompt)
    with torch.no_grad():
        logprobs = hugging_face()(inputs_embeds=prompt.embed(engine()).unsqueeze(0)).logits[0].log_softmax(dim=-1)
    assert found[:19] == pytest.approx([float(logprobs[place, place + 6]) for place in range(19)], abs=1e-4)
    assert [value != value for value in found[19:]] == [True, True, False]
    assert found[21] == pytest.approx(float(logprobs[21, 9]), abs=1e-4)
    assert model.log_probabilities(Prompt((torch.tensor([5]),))) == []


def test_stream_reports_the_same_log_probabilities():
    model = language_model()
    prompt = prompts()[2]
    pieces = list(model.stream(prompt, SAMPLED.model_copy(update={"logprobs": 0})))
    ids = [id_ for piece in pieces for id_ in piece.token_ids]
    found = [logprob.logprob for piece in pieces for logprob in piece.logprobs]
    whole = model.log_probabilities(Prompt((torch.cat([prompt.parts[0], torch.tensor(ids)]),)))
    assert found == pytest.approx(whole[prompt.length - 1 :], abs=1e-3)


def test_embed_is_the_mean_of_last_hidden_states():
    model = language_model()
    texts = [*SENTENCES, "cat"] * 5
    found = model.embed(texts)
    assert found.shape == (20, engine().dim)
    for row in (0, 1, 3, 19):
        ids = torch.tensor([model.prompt(texts[row]).ids])
        with torch.no_grad():
            hidden = hugging_face().model(ids).last_hidden_state
        torch.testing.assert_close(found[row], hidden[0].mean(dim=0), rtol=1e-3, atol=1e-4)


@needs_smollm2
def test_smollm2_answers_by_a_schema_and_is_the_same_with_lookup():
    model = open_model("smollm2")
    prompt = model.prompt([Message("user", "Tell me of Paris as JSON, with its name, its country and its rivers.")])
    names = {"type": "string", "maxLength": 20}
    schema = {
        "type": "object",
        "properties": {"name": names, "country": names, "rivers": {"type": "array", "items": names, "maxItems": 2}},
        "required": ["name", "country", "rivers"],
        "additionalProperties": False,
    }
    settings = GenerationConfig(max_tokens=80, json_schema=schema)
    answer = model.generate([prompt], settings)[0]
    assert answer.finish == "stop"
    assert json.loads(answer.text)["name"] == "Paris"
    assert model.generate([prompt], settings.model_copy(update={"lookup": 5}))[0] == answer


def test_samples_of_one_prompt_are_what_each_would_be_alone():
    model = language_model()
    prompt = model.prompt("the cat sat")
    settings = [
        GenerationConfig(max_tokens=12, temperature=temperature, seed=seed, logprobs=0)
        for seed, temperature in enumerate([0.0, 0.8, 0.8] * 7)  # more than go together
    ]
    alone = [model.generate([prompt], each)[0] for each in settings]
    together = model.sample(prompt, settings)
    assert [each.token_ids for each in together] == [each.token_ids for each in alone]
    assert [(each.text, each.finish) for each in together] == [(each.text, each.finish) for each in alone]
    assert [each.token_ids for each in TextModel.sample(model, prompt, settings[:5])] == [
        each.token_ids for each in alone[:5]
    ]


@pytest.mark.parametrize("sample", [LanguageModel.sample, TextModel.sample])
def test_a_sample_ends_where_it_is_told_to(sample):
    model = language_model()
    settings = [GenerationConfig(max_tokens=40, temperature=1.0, seed=seed) for seed in range(3)]
    done = sample(model, model.prompt("the cat"), settings, ended=lambda text: len(text) >= 5)
    assert [each.finish for each in done] == ["stop"] * 3
    assert all(5 <= len(each.text) < 20 for each in done)
