"""Runs that write text on a pretrained decoder: trained, saved, loaded, merged, and talked to."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

import tonggan
from pretrained_scene import WIDTH, pretrained_folder
from small_data import png
from tonggan.errors import BundleError, ConfigError, DataError, UnreadableError
from tonggan.language.chat import AudioPart, ChatTemplate, ImagePart, Message, TextPart
from tonggan.language.settings import GenerationConfig
from tonggan.runs.speaker import open_speaker

COLORS = {"red": (250, 10, 10), "blue": (10, 10, 250)}
SETTINGS = ["columns.question.max_tokens=16", "columns.photo.size=8", "training.epochs=1", "training.batch_size=8"]


def table(rows=48):
    random = np.random.default_rng(0)
    names = [list(COLORS)[choice] for choice in random.integers(2, size=rows)]
    return pa.table(
        {
            "photo": [png(*COLORS[name]) if row % 5 else None for row, name in enumerate(names)],
            "question": [("what is it?", "which color?")[row % 2] for row in range(rows)],
            "answer": [f"it is {name}" for name in names],
        }
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return pretrained_folder(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, base, shared_cache):
    out = tmp_path_factory.mktemp("runs")
    common = {"target": "answer", "task": "answer", "settings": [*SETTINGS, f"model.head.base={base}"]}
    tonggan.fit(table(), out=out / "chat", **common)
    small = [*SETTINGS, "model.dim=32", "model.head.num_layers=1", "model.head.num_heads=2"]
    tonggan.fit(table(), out=out / "scratch", target="answer", task="answer", settings=small)
    return out


def red():
    return ImagePart(png(*COLORS["red"]))


def test_what_the_base_implies_is_in_the_recipe(runs, base):
    recipe = tonggan.load(runs / "chat").bundle.recipe
    assert recipe.model.dim == WIDTH
    assert recipe.task.language == recipe.columns["question"].language == str(base)
    assert recipe.model.fusion.verbatim == ["question"]
    assert recipe.model.encoders["question"].kind == "text_language"


def test_only_what_was_learned_is_saved(runs):
    from safetensors import safe_open

    with safe_open(runs / "chat" / "weights.safetensors", framework="pt") as file:
        names = list(file.keys())
    assert any("lora_A" in name for name in names)
    assert not any("base_layer" in name or "embed_tokens" in name for name in names)


def test_another_base_than_the_one_trained_on_is_refused(tmp_path, shared_cache):
    base, run = pretrained_folder(tmp_path / "model"), tmp_path / "run"
    settings = [*SETTINGS, f"model.head.base={base}"]
    tonggan.fit(table(), target="answer", task="answer", out=run, settings=settings)
    weights = load_file(base / "model.safetensors")
    save_file({name: weight + 0.01 for name, weight in weights.items()}, base / "model.safetensors")
    with pytest.raises(BundleError, match=r"base model .*Put the same files of that model where the recipe names it"):
        tonggan.load(run)


def test_merged_adapters_give_the_same_logits(runs):
    head = tonggan.load(runs / "chat").bundle.model.head
    for name, parameter in head.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    values = torch.randn(2, 7, WIDTH)
    merged = head.merged()
    with torch.autocast("cpu", torch.bfloat16, enabled=head.model.model.embed_tokens.weight.dtype == torch.bfloat16):
        torch.testing.assert_close(merged(values), head.model(values), rtol=0.05, atol=0.05)
    assert not torch.allclose(merged(values), tonggan.load(runs / "chat").bundle.model.head.merged()(values), atol=0.1)
    assert set(merged.state_dict()) == set(head.model.config.build().state_dict())


@pytest.mark.parametrize("name", ["chat", "scratch"])
def test_a_single_turn_is_what_the_model_was_trained_on(runs, name):
    speaker = open_speaker(runs / name, engine="torch")
    message = Message("user", (red(), TextPart(" which color?")))
    prompt = speaker.prompt([message])
    predictor = tonggan.load(runs / name)
    model = predictor.bundle.model
    inputs = {
        "photo": predictor.bundle.modalities["photo"].collate(
            [predictor.bundle.modalities["photo"].decode(red().content)]
        ),
        "question": predictor.bundle.modalities["question"].collate(["which color?"]),
    }
    context = model.head.prefix(model.fuse(model.encode(inputs)))
    torch.testing.assert_close(prompt.embed(speaker.model.engine), context.values[0], rtol=1e-4, atol=1e-5)
    text = speaker.model.generate([prompt], GenerationConfig(max_tokens=predictor.bundle.task.max_tokens))[0].text
    assert isinstance(text, str)


def test_a_conversation_keeps_its_turns(runs):
    speaker = open_speaker(runs / "chat", engine="torch")
    messages = [
        Message("system", "Be kind."),
        Message("user", (red(), TextPart("what is it?"))),
        Message("assistant", "it is red"),
        Message("user", "sure?"),
    ]
    prompt = speaker.prompt(messages)
    text = speaker.model.tokenizer.decode([id_ for id_ in prompt.ids if id_ >= 0])
    assert "Be kind." in text
    assert text.index("it is red") < text.index("sure?")
    pieces = ChatTemplate.of(speaker.model.tokenizer).split(messages)
    assert sum(piece == red() for piece in pieces) == 1
    assert -1 in prompt.ids


def test_what_the_model_cannot_read_is_refused(runs):
    speaker = open_speaker(runs / "chat", engine="torch")
    with pytest.raises(DataError, match="a part of kind audio"):
        speaker.prompt([Message("user", (TextPart("what is it?"), AudioPart(b"RIFF")))])
    with pytest.raises(DataError, match="2 parts of kind image"):
        speaker.prompt([Message("user", (red(), red()))])
    with pytest.raises(UnreadableError):
        speaker.prompt([Message("user", (ImagePart(b"no picture"),))])


def test_a_classifier_does_not_speak(tmp_path, shared_cache):
    labels = table().set_column(2, "answer", [[f"c{row % 2}" for row in range(48)]])
    tonggan.fit(labels, target="answer", out=tmp_path, settings=[*SETTINGS, "floor=null", "audit_alone=false"])
    with pytest.raises(BundleError, match="writes text through a language decoder"):
        open_speaker(tmp_path)


def test_another_width_than_the_bases_is_refused(tmp_path, base, shared_cache):
    with pytest.raises(ConfigError, match=r"Set model\.dim=32, or leave it out"):
        tonggan.fit(
            table(),
            target="answer",
            task="answer",
            out=tmp_path,
            settings=[*SETTINGS, f"model.head.base={base}", "model.dim=64"],
        )


def test_an_auxiliary_target_is_learned_beside_a_text(tmp_path, shared_cache):
    colors = [answer.removeprefix("it is ") for answer in table()["answer"].to_pylist()]
    small = [*SETTINGS, "model.dim=32", "model.head.num_layers=1", "model.head.num_heads=2", "training.precision=fp32"]
    small += [
        "model.encoders.photo={kind: image_cnn, channels: [8]}",
        "training.epochs=8",
        "training.learning_rate=0.01",
        "audit_alone=false",
    ]
    given = {"target": "answer", "task": "answer", "settings": small}
    plain = tonggan.fit(table(), out=tmp_path / "plain", **given)
    given["settings"] = [*small, "auxiliary.color={input: photo, weight: 0.5}"]
    run = tonggan.fit(table().append_column("color", [colors]), out=tmp_path / "run", **given)
    assert list(run.bundle.columns) == list(plain.bundle.columns) == ["photo", "question"]
    names = [set(load_file(each.folder / "weights.safetensors")) for each in (plain, run)]
    assert names[0] == names[1], "what is only learned from is not kept"
    first, last = ([entry["train_loss"] for entry in run.results["training"]["history"]][place] for place in (0, -1))
    assert first > plain.results["training"]["history"][0]["train_loss"] + 0.1
    assert last < 0.2, "to guess the color costs 0.35 by itself"
    assert tonggan.load(run.folder).predict(table(4)) == run.predict(table(4))


def test_parts_told_apart(tmp_path, shared_cache):
    settings = [
        *SETTINGS,
        "model.dim=32",
        "model.head.num_layers=1",
        "model.head.num_heads=2",
        "report_by=question",
        "data.valid_fraction=0.5",
    ]
    run = tonggan.fit(table(), target="answer", task="answer", out=tmp_path, settings=settings)
    parts = run.results["parts"]
    assert set(parts) == {"what is it?", "which color?"}
    assert sum(part["rows"] for part in parts.values()) == run.results["rows"]["valid"]
    assert 0 <= parts["what is it?"]["exact_match"] <= 1
    signatures = run.results["signatures"]
    assert set(signatures) == {"valid", *parts}
    assert signatures["valid"]["bleu"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|")
    assert '<th scope="row" class="name">which color?</th>' in (tmp_path / "report.html").read_text(encoding="utf-8")
