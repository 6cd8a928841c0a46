import math

import openai
import pytest
import tokenizers
import torch

from generation_scene import SENTENCES, engine, language_model
from serving_scene import serving
from tonggan.language.model import LanguageModel
from tonggan.language.settings import GenerationConfig
from tonggan.language.tokenizer import Tokenizer

TEXT = "the cat sat on"


@pytest.fixture(scope="module")
def server():
    with serving(language_model()) as running:
        yield running


@pytest.fixture
def complete(server):
    return lambda prompt=TEXT, **options: server.client().completions.create(
        model="tiny", prompt=prompt, **{"temperature": 0, "max_tokens": 12, **options}
    )


def expected(prompt=TEXT, **settings):
    model = language_model()
    return model.generate([model.prompt(prompt)], GenerationConfig(**{"max_tokens": 12, **settings}))[0]


def test_whole_and_streamed(complete):
    answer = complete()
    assert answer.choices[0].text == expected().text
    assert answer.choices[0].finish_reason == expected().finish
    assert answer.usage.completion_tokens == len(expected().token_ids)
    chunks = list(complete(stream=True, stream_options={"include_usage": True}))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == expected().text
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices][-1] == expected().finish
    assert chunks[-1].usage == answer.usage


def test_sixteen_tokens_by_default(server):
    answer = server.client().completions.create(model="tiny", prompt=TEXT, extra_body={"regex": "a{20}"})
    assert answer.usage.completion_tokens <= 16
    assert answer.choices[0].finish_reason == "length"


def test_many_prompts_and_several_of_each(complete):
    prompts = ["the cat", "the dog"]
    answer = complete(prompts, n=2, seed=3, temperature=1.0)
    wanted = [expected(prompt, temperature=1.0, seed=seed).text for prompt in prompts for seed in (3, 4)]
    assert [choice.text for choice in answer.choices] == wanted
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    streamed = [""] * 4
    for chunk in complete(prompts, n=2, seed=3, temperature=1.0, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == wanted


def test_token_ids(complete):
    ids = language_model().prompt(TEXT).ids
    assert complete(ids).choices[0].text == complete([ids]).choices[0].text == expected().text
    for wrong in ([300], [-1], []):
        with pytest.raises(openai.BadRequestError, match="expected one or more from 0 to 299"):
            complete([wrong])


def test_log_probabilities(complete):
    generation = expected(logprobs=3)
    logprobs = complete(logprobs=3).choices[0].logprobs
    assert logprobs.token_logprobs == pytest.approx([each.logprob for each in generation.logprobs], abs=1e-4)
    assert all(len(each) <= 3 for each in logprobs.top_logprobs)
    assert logprobs.text_offset[0] == 0
    assert logprobs.text_offset == sorted(logprobs.text_offset)
    streamed = [each for chunk in complete(logprobs=3, stream=True) for each in chunk.choices[0].logprobs.tokens]
    assert streamed == logprobs.tokens


def test_echo_scores_a_text(complete):
    """What evaluation harnesses do: no new token, the log-probability of every token of the prompt."""
    choice = complete(echo=True, max_tokens=0, logprobs=0).choices[0]
    model = language_model()
    ids = model.prompt(TEXT).ids
    with torch.no_grad():
        values = model.engine.embed(torch.tensor([ids]))
        hidden = model.engine.hidden(values, mask=torch.ones(1, len(ids), dtype=torch.bool))
        table = model.engine.logits(hidden).log_softmax(dim=-1)[0]
    wanted = [float(table[place, id_]) for place, id_ in enumerate(ids[1:])]
    assert (choice.text, choice.finish_reason) == (TEXT, "length")
    assert "".join(choice.logprobs.tokens) == TEXT
    assert choice.logprobs.token_logprobs == pytest.approx(wanted, abs=1e-4)
    assert choice.logprobs.text_offset[0] == 0
    (chunk,) = complete(echo=True, max_tokens=0, stream=True)
    assert (chunk.choices[0].text, chunk.choices[0].finish_reason) == (TEXT, "length")


def test_echo_before_what_follows(complete):
    choice = complete(echo=True, logprobs=0).choices[0]
    assert choice.text == TEXT + expected().text
    assert len(choice.logprobs.tokens) == len(choice.logprobs.text_offset)
    assert math.isfinite(sum(choice.logprobs.token_logprobs))
    assert "".join(chunk.choices[0].text for chunk in complete(echo=True, stream=True)) == choice.text
    assert complete(language_model().prompt(TEXT).ids, echo=True).choices[0].text == choice.text


def test_fill_in_the_middle():
    plain = Tokenizer.train(SENTENCES, vocab_size=290)
    library = tokenizers.Tokenizer.from_str(plain.state()["tokenizer"])
    library.add_special_tokens(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"])
    own = Tokenizer(library, start=1, ends=(2,))
    model = LanguageModel(engine(), own, name="tiny")
    before, after, middle = (library.token_to_id(f"<|fim_{name}|>") for name in ("prefix", "suffix", "middle"))
    ids = [before, *own.encode("the cat"), after, *own.encode("the mat"), middle]
    with serving(model) as server:
        client = server.client()
        filled = client.completions.create(model="tiny", prompt="the cat", suffix="the mat", temperature=0)
        plainly = client.completions.create(model="tiny", prompt=ids, temperature=0)
        injected = client.completions.create(model="tiny", prompt="the cat<|fim_suffix|>", suffix="", temperature=0)
    assert filled.choices[0].text == plainly.choices[0].text
    assert filled.usage == plainly.usage
    assert injected.usage.prompt_tokens > 8  # as text, not as the control token


@pytest.mark.parametrize("options", [{"logprobs": 6}, {"best_of": 3}, {"max_tokens": -2}, {"frequency_penalty": 1}])
def test_wrong_parameters_are_named(complete, options):
    with pytest.raises(openai.BadRequestError, match=next(iter(options))):
        complete(**options)


def test_embeddings(server):
    texts = ["the cat sat", "你好"]
    model = language_model()
    wanted = model.embed(texts)
    client = server.client()
    answer = client.embeddings.create(model="tiny", input=texts)  # which asks for base64
    torch.testing.assert_close(torch.tensor([each.embedding for each in answer.data]), wanted, rtol=1e-5, atol=1e-6)
    assert answer.usage.prompt_tokens == sum(model.prompt(text).length for text in texts)
    plain = client.embeddings.create(model="tiny", input=texts[1], encoding_format="float")
    torch.testing.assert_close(torch.tensor(plain.data[0].embedding), wanted[1], rtol=1e-5, atol=1e-6)
    with pytest.raises(openai.BadRequestError, match=r"input\[1\]: got 401 tokens, expected at most 128"):
        client.embeddings.create(model="tiny", input=["a", "a" * 400])
    with pytest.raises(openai.BadRequestError, match="expected a text"):
        client.embeddings.create(model="tiny", input=[{"column": "a"}])
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="tiny", input="a", dimensions=3)
