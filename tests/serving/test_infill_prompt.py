import json

import httpx
import openai
import pytest
import tokenizers
import torch

from code_training_scene import UNUSED, base_folder
from generation_scene import SENTENCES, engine, language_model
from serving_scene import endless_model, serving, until
from tonggan.codelm.training.adapters import AdapterManifest, AdapterRegistry
from tonggan.codelm.training.learner import Learner
from tonggan.errors import ConfigError
from tonggan.language.infill import InfillTokens
from tonggan.language.model import LanguageModel
from tonggan.language.pretrained import load_pretrained
from tonggan.language.settings import GenerationConfig
from tonggan.language.tokenizer import Tokenizer
from tonggan.progress import Progress
from tonggan.serving.config import ServerConfig
from tonggan.serving.infill_prompt import Extra, infill_prompt
from tonggan.serving.services import open_services

# What llama.vim sends for a cursor in the middle of a file.
LLAMA_VIM = {
    "input_prefix": "the cat\n",
    "input_suffix": "the mat\nand the dog\n",
    "input_extra": [{"text": "the dog sat", "time": 12.5, "filename": "dog.py"}],
    "prompt": "sat on ",
    "n_predict": 12,
    "n_indent": 0,
    "top_k": 40,
    "top_p": 0.99,
    "stream": False,
    "samplers": ["top_k", "top_p", "infill"],
    "cache_prompt": True,
    "t_max_prompt_ms": 500,
    "t_max_predict_ms": 1000,
    "response_fields": ["content", "timings/prompt_n", "timings/predicted_ms", "truncated", "tokens_cached"],
}


def filling_model() -> LanguageModel:
    """One with the control tokens, and weights that know nothing of them."""
    library = tokenizers.Tokenizer.from_str(Tokenizer.train(SENTENCES, vocab_size=290).state()["tokenizer"])
    library.add_special_tokens(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"])
    return LanguageModel(engine(), Tokenizer(library, start=1, ends=(2,)), name="tiny")


@pytest.fixture(scope="module")
def plain():
    with serving(language_model()) as server:
        yield server


def post(server, path, body):
    return httpx.post(f"{server.url}{path}", json=body, timeout=60)


def test_infill_with_control_tokens_reads_what_the_model_was_trained_for():
    model = filling_model()
    infill = InfillTokens.of(model)
    extra = [Extra("dog.py", "the dog sat")]
    prompt = infill_prompt(model, "the cat\nsat on ", suffix=LLAMA_VIM["input_suffix"], infill=infill, extra=extra)
    encode = model.tokenizer.encode
    assert prompt.ids == [
        *encode("# dog.py\nthe dog sat\n\n"), infill.prefix, *encode("the cat\nsat on "), infill.suffix,
        *encode("the mat\nand the dog\n"), infill.middle,
    ]  # fmt: skip
    expected = model.generate([prompt], GenerationConfig(max_tokens=12, top_k=40, top_p=0.99))[0]
    with serving(model) as server:
        answer = post(server, "/infill", LLAMA_VIM).json()
    assert answer["content"] == expected.text
    assert answer["timings/prompt_n"] == prompt.length
    assert set(answer) == {"content", "timings/prompt_n", "timings/predicted_ms", "truncated"}


def test_a_run_of_code_training_fills_in_with_the_tokens_that_it_has_learned(tmp_path):
    base = load_pretrained(str(base_folder(tmp_path / "base")))
    infill = InfillTokens.of(base.tokenizer, names=UNUSED)
    model, generator = base.build(), torch.Generator().manual_seed(0)
    learner = Learner(model, method="lora", rank=2, infill=infill, precision="fp32", generator=generator)
    manifest = AdapterManifest(
        name="first", method="lora", base=str(tmp_path / "base"), base_sha256=base.sha256, rank=2, sentinels=UNUSED,
        sentinel_ids=(infill.prefix, infill.suffix, infill.middle), corpus_sha256="",
    )  # fmt: skip
    registry = AdapterRegistry(tmp_path / "run")
    registry.save(manifest, learner.learned())
    registry.promote("first")
    (service,) = open_services([str(tmp_path / "run")], engine="torch", config=ServerConfig(), progress=Progress())
    service.close()
    assert service.name == "run"
    assert service.texts.infill == infill
    with pytest.raises(ConfigError, match=r"engine llamacpp: got a model of \d+ layers in memory"):
        open_services([str(tmp_path / "run")], engine="llamacpp", config=ServerConfig(), progress=Progress())


def test_infill_without_control_tokens_continues_the_prefix(plain):
    body = {**LLAMA_VIM, "input_extra": [], "response_fields": []}
    answer = post(plain, "/infill", body).json()
    model = language_model()
    whole = model.generate([model.prompt("the cat\nsat on ")], GenerationConfig(max_tokens=12))[0]
    assert whole.text.startswith(answer["content"])
    assert "\n" not in answer["content"]  # the rest of the line follows the gap
    assert (answer["stop"], answer["model"]) == (True, "tiny")
    assert answer["tokens_evaluated"] == len(model.prompt("the cat\nsat on ").ids)


def test_infill_as_a_stream(plain):
    body = {**LLAMA_VIM, "input_suffix": "", "response_fields": []}
    whole = post(plain, "/infill", body).json()["content"]
    lines = [line for line in post(plain, "/infill", {**body, "stream": True}).text.split("\n") if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert "".join(event["content"] for event in events) == whole
    assert [event["stop"] for event in events] == [False] * (len(events) - 1) + [True]


def test_reading_ahead_writes_nothing(plain):
    """llama.vim and llama.vscode let the server read the extra context before it is needed."""
    body = {"input_extra": LLAMA_VIM["input_extra"], "n_predict": 0, "samplers": [], "cache_prompt": True}
    assert post(plain, "/infill", body).json()["content"] == ""


def test_a_gap_in_a_long_file_is_read_as_far_as_there_is_room(plain):
    body = {
        **LLAMA_VIM,
        "input_prefix": "the cat sat\n" * 500,
        "input_suffix": "the dog\n" * 500,
        "response_fields": [],
    }
    answer = post(plain, "/infill", body)
    assert answer.status_code == 200
    assert answer.json()["tokens_evaluated"] <= 128 - 12
    typed = ["the cat sat\n" * 500 + "the dog sat"[:length] for length in range(12)]
    prompts = [infill_prompt(language_model(), each, suffix="", infill=None, max_tokens=64).ids for each in typed]
    beginnings = [prompt[:30] for prompt in prompts]
    assert len({tuple(each) for each in beginnings}) <= 3  # typing on keeps what was read, but for where it is cut anew


def test_pieces_that_do_not_fit_are_not_even_read():
    model, read = language_model(), []
    encode = model.encode
    model.encode = lambda text, **options: read.append(len(text)) or encode(text, **options)
    extra = [Extra("a.py", "the cat\n" * 50_000), Extra("b.py", "the cat\n" * 50_000), Extra("c.py", "the dog")]
    prompt = infill_prompt(model, "the cat " * 100_000, suffix="the mat", infill=None, extra=extra, max_tokens=100)
    assert prompt.length <= 100
    assert max(read) <= 100 * 16


def test_completion_as_continue_and_tabby_ask_for_it(plain):
    body = {"prompt": "the cat", "n_predict": 8, "stream": True, "stop": ["zzz"], "temperature": 0, "mirostat": None}
    lines = [line for line in post(plain, "/completion", body).text.split("\n") if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    model = language_model()
    expected = model.generate([model.prompt("the cat")], GenerationConfig(max_tokens=8))[0].text
    assert "".join(event["content"] for event in events) == expected
    assert events[-1]["stop"]


def test_a_suffix_for_a_model_that_was_not_trained_to_fill_in(plain):
    client = plain.client()
    options = {"model": "tiny", "prompt": "the cat", "temperature": 0, "max_tokens": 12}
    whole = client.completions.create(**options).choices[0].text
    filled = client.completions.create(**options, suffix=" mat").choices[0]
    assert whole.startswith(filled.text)
    assert "\n" not in filled.text
    streamed = client.completions.create(**options, suffix=" mat", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == filled.text
    overlap = whole[4:]
    assert client.completions.create(**options, suffix=overlap).choices[0].text == whole[:4]
    with pytest.raises(openai.BadRequestError, match="logprobs: got together with suffix"):
        client.completions.create(**options, suffix=" mat", logprobs=1)


def test_what_a_cut_ends_is_written_no_further():
    with serving(endless_model(seconds=0.04), timeout=300) as server:  # 1,024 tokens would take it 40 seconds
        body = {**LLAMA_VIM, "n_predict": -1, "input_extra": [], "t_max_predict_ms": 1, "input_suffix": ""}
        assert post(server, "/infill", body).status_code == 200
        until(lambda: server.metrics()['tonggan_texts_active{model="tiny"}'] == 0, seconds=20)


@pytest.mark.parametrize("body", [{"n_predict": "many"}, {"stop": [""]}, {"input_extra": [{"filename": "a"}]}])
def test_wrong_parameters_are_named(plain, body):
    answer = post(plain, "/infill", body)
    assert answer.status_code == 400
    assert next(iter(body)) in answer.json()["error"]["message"]
