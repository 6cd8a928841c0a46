"""Runs whose encoders start from those of finished runs."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

import tonggan
from small_data import png
from tonggan.encoders import AudioCNNConfig
from tonggan.errors import BundleError, ConfigError
from tonggan.modalities import AudioConfig
from tonggan.models import FusedModel, ModelConfig
from tonggan.models.state import learned_state
from tonggan.progress import Progress
from tonggan.runs.bundle import InputEntry
from tonggan.runs.recipe import load_recipe
from tonggan.runs.start import Origin, Start, open_start

PHOTO = "{kind: image_resnet, channels: [8, 8], blocks: [0, 0], strides: [2, 2], stem_channels: 8, pool: max}"
SETTINGS = (
    "floor=null",
    "columns.photo={kind: image, size: 8}",
    "columns.note={kind: text, vocab_size: 300}",
    "model.dim=16",
    f"model.encoders.photo={PHOTO}",
    "model.encoders.note={kind: text_transformer, num_layers: 0}",
    "training.epochs=1",
    "training.batch_size=16",
)


class Said(Progress):
    def __init__(self, *, stop_at=None):
        self.lines, self.stop_at = [], stop_at

    def say(self, text):
        self.lines.append(text)

    def track(self, items, *, label, **_):
        if label == self.stop_at:
            raise KeyboardInterrupt
        yield from items


def table(rows=64, *, seed=0):
    random = np.random.default_rng(seed)
    bright, long = random.integers(2, size=(2, rows))
    return pa.table(
        {
            "photo": [png(*(200 * value + random.integers(50, size=3)).tolist()) for value in bright],
            "note": ["word " * (1 + 2 * value) for value in long],
            "size": random.normal(size=rows),
            "bright": [["no", "yes"][value] for value in bright],
            "both": [["no", "yes"][value] for value in bright & long],
        }
    )


def fit(out, *settings, target="both", **options):
    other = "bright" if target == "both" else "both"
    ignored = [] if f"auxiliary.{other}.input=photo" in settings else [f"columns.{other}.kind=ignore"]
    return tonggan.fit(table(), target=target, out=out, settings=[*SETTINGS, *ignored, *settings], **options)


# What such a run starts with is what it ends with.
STILL = ("training.learning_rate=1e-30", "training.weight_decay=0", "audit_alone=false")


@pytest.fixture(scope="module")
def origin(tmp_path_factory, shared_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        return fit(tmp_path_factory.mktemp("runs") / "origin", "audit_alone=false", "seed=3", target="bright").folder


def weights_of(folder, place):
    """The parameters of an encoder; running statistics change in training at any rate."""
    prefix = f"encoders.{place}."
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in load_file(folder / "weights.safetensors").items()
        if name.startswith(prefix) and "running" not in name and "batches" not in name
    }


def test_an_encoder_starts_with_the_weights_of_the_other_run(origin, tmp_path):
    said = Said()
    run = fit(tmp_path / "run", *STILL, f"start.photo={origin}", progress=said)
    ours, theirs = weights_of(run.folder, 0), weights_of(origin, 0)
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor)
    assert not torch.equal(weights_of(run.folder, 1)["embedding.weight"], weights_of(origin, 1)["embedding.weight"])
    total = sum(tensor.numel() for tensor in learned_state(run.bundle.model.encoders[0]).values())
    assert f"start.photo: {total:,} of the encoder's {total:,} parameters are from {origin}" in said.lines


def test_a_last_projection_to_another_width_stays_new(origin, tmp_path):
    said = Said()
    run = fit(tmp_path / "run", *STILL, "model.dim=24", f"start.photo={origin}:photo", progress=said)
    ours, theirs = weights_of(run.folder, 0), weights_of(origin, 0)
    torch.testing.assert_close(ours["trunk.0.0.weight"], theirs["trunk.0.0.weight"])
    assert ours["projection.weight"].shape == (24, 8)
    new = 24 * 8 + 24
    total = sum(tensor.numel() for tensor in learned_state(run.bundle.model.encoders[0]).values())
    assert any(f"{total - new:,} of the encoder's {total:,} parameters" in line for line in said.lines)


def test_a_text_and_a_row_of_cells_start_where_they_are_fitted_alike(origin, tmp_path):
    same_table = {"target": "bright", "seed": 3}
    run = fit(tmp_path / "run", *STILL, f"start.note={origin}", f"start.table={origin}", **same_table)
    for place in (1, 2):
        for name, tensor in weights_of(origin, place).items():
            torch.testing.assert_close(weights_of(run.folder, place)[name], tensor)


def test_the_bundle_remembers_and_needs_the_other_run_no_more(origin, tmp_path):
    other = shutil.copytree(origin, tmp_path / "other")
    run = fit(tmp_path / "run", *STILL, f"start.photo={other}:photo")
    sha256 = json.loads((origin / "bundle.json").read_text())["files"]["weights.safetensors"]
    shutil.rmtree(other)
    loaded = tonggan.load(run.folder)
    assert loaded.bundle.recipe.start == {"photo": f"{other}:photo"}
    assert loaded.bundle.info["start"] == {"photo": {"source": f"{other}:photo", "sha256": sha256}}
    assert loaded.predict(table(4, seed=1)) == run.predict(table(4, seed=1))
    assert not list(run.folder.glob("checkpoints/*.safetensors"))


def test_models_trained_alone_start_there_too(origin, tmp_path, monkeypatch):
    given = []
    give = Start.give

    def noting(self, model, **options):
        give(self, model, **options)
        weights = {name: tensor.clone() for name, tensor in model.encoders[0].state_dict().items()}
        given.append((model.names, weights))

    monkeypatch.setattr(Start, "give", noting)
    fit(tmp_path / "run", f"start.photo={origin}")
    assert [names for names, _ in given] == [("photo", "note", "table"), ("photo",), ("note",), ("table",)]
    for _, weights in given[:2]:
        assert torch.equal(weights["trunk.0.0.weight"], weights_of(origin, 0)["trunk.0.0.weight"])


def test_auxiliary_targets_do_not_disturb(origin, tmp_path):
    run = fit(tmp_path / "run", *STILL, f"start.photo={origin}", "auxiliary.bright.input=photo")
    for name, tensor in weights_of(origin, 0).items():
        torch.testing.assert_close(weights_of(run.folder, 0)[name], tensor)


def test_a_resumed_run_does_without_the_other_run_and_gives_the_same_bytes(origin, tmp_path):
    other = shutil.copytree(origin, tmp_path / "other")
    settings = [f"start.photo={other}"]
    whole = fit(tmp_path / "whole", *settings)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", *settings, progress=Said(stop_at="subsets"))
    shutil.rmtree(tmp_path / "run" / "alone")
    shutil.rmtree(other)
    resumed = fit(tmp_path / "run", *settings)
    assert (resumed.folder / "weights.safetensors").read_bytes() == (whole.folder / "weights.safetensors").read_bytes()
    assert resumed.results["audit"] == whole.results["audit"]
    assert resumed.bundle.info["start"] == whole.bundle.info["start"]


def test_a_run_is_not_resumed_after_the_other_was_replaced(origin, tmp_path):
    other = shutil.copytree(origin, tmp_path / "other")
    settings = [f"start.photo={other}", "audit_alone=false"]
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", *settings, progress=Said(stop_at="subsets"))
    fit(other, "audit_alone=false", "seed=4", target="bright", overwrite=True)
    with pytest.raises(ConfigError, match=r"start: the content of start\.photo is \w{8}, now \w{8}, .*--overwrite"):
        fit(tmp_path / "run", *settings)
    assert fit(tmp_path / "run", *settings, overwrite=True).results


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["start.picture={run}:photo"], r"start\.picture: got no such input, expected one of photo, note, table"),
        (["start.photo={run}:picture"], r"without an input 'picture', expected one of its inputs photo, note, table"),
        (["start.photo={run}:note"], r"an input of kind 'text' in .*expected one of kind 'image'"),
        (["start.photo={run}", "columns.photo.size=12"], r"got columns\.photo\.size=12, expected 8.*photo\.size=8"),
        (["start.note={run}", "columns.note.lowercase=false"], r"note\.lowercase=False, expected True.*lowercase=True"),
        (["start.table={run}", "columns.size.kind=category"], r"other tokens, means or categories.*the same table"),
        (
            ["start.photo={run}", "model.encoders.photo.channels=[8, 12]"],
            r"got trunk\.4\.0\.weight \[12, 8, 3, 3\], expected \[8, 8, 3, 3\], as in .*"
            r"Set model\.encoders\.photo\.channels=\[8, 8\]",
        ),
        (
            ["start.photo={run}", "model.encoders.photo.activation=gelu"],
            r"other settings of the encoder.*Set model\.encoders\.photo\.activation=relu",
        ),
        (
            ["start.note={run}", "model.dim=24"],
            r"got embedding\.weight \[\d+, 24\], expected \[\d+, 16\].*Set model\.encoders\.note\.width=16",
        ),
    ],
)
def test_what_does_not_fit_is_told(origin, tmp_path, settings, message):
    with pytest.raises(ConfigError, match=message):
        fit(tmp_path / "run", *STILL, *[setting.format(run=origin) for setting in settings])


def test_no_run_and_an_unfinished_run_are_refused_before_anything_is_read(origin, tmp_path):
    with pytest.raises(BundleError, match=r"bundle .*nowhere: got no file bundle\.json.*Check the path"):
        fit(tmp_path / "run", f"start.photo={tmp_path / 'nowhere'}:photo")
    unfinished = shutil.copytree(origin, tmp_path / "unfinished")
    (unfinished / "bundle.json").unlink()
    with pytest.raises(BundleError, match="got an unfinished run"):
        fit(tmp_path / "run", f"start.photo={unfinished}")
    assert not (tmp_path / "run").exists()


def test_runs_that_a_yaml_file_names_are_looked_for_beside_it(tmp_path):
    (tmp_path / "recipe.yaml").write_text("{target: a, data: {train: t.csv}, start: {photo: 'runs/one:image'}}")
    assert load_recipe(str(tmp_path / "recipe.yaml")).start == {"photo": f"{tmp_path / 'runs' / 'one'}:image"}


def audio(dim, **settings):
    config = ModelConfig(dim=dim, encoders={"sound": AudioCNNConfig(channels=(4, 4), blocks=1, **settings)})
    modality = AudioConfig(sample_rate=8000).build()
    with torch.random.fork_rng():
        torch.manual_seed(dim)
        return config, {"sound": modality}, config.encoders["sound"].build(modality, dim=dim)


def start_of(dim, **settings):
    config, modalities, encoder = audio(dim, **settings)
    entry = InputEntry(config=modalities["sound"].config, state={})
    origin = Origin(source="runs/a:b", sha256="0", dim=dim, encoder=config.encoders["sound"], input=entry)
    return Start({"sound": origin}, {"sound": learned_state(encoder)})


def give(start, dim, **settings):
    config, modalities, encoder = audio(dim, **settings)
    model = FusedModel({"sound": encoder}, fusion=torch.nn.Identity(), head=torch.nn.Identity())
    start.give(model, config=config, modalities=modalities)
    return encoder


def test_blocks_of_their_own_width_are_taken_into_a_wider_model():
    start = start_of(16)
    encoder = give(start, 24, width=16)
    torch.testing.assert_close(encoder.projection.weight, start.weights["sound"]["projection.weight"])
    torch.testing.assert_close(encoder.transformer.norm.weight, start.weights["sound"]["transformer.norm.weight"])
    assert encoder.output.weight.shape == (24, 16)
    back = give(start_of(24, width=16), 16)
    assert isinstance(back.output, torch.nn.Identity)


def test_what_no_shape_tells_must_be_alike_too():
    start = start_of(16)
    with pytest.raises(ConfigError, match=r"got transformer\..* \[24\], expected \[16\].*sound\.width=16"):
        give(start, 24)
    with pytest.raises(ConfigError, match=r"Set model\.encoders\.sound\.num_heads=4"):
        give(start, 16, num_heads=2)
    with pytest.raises(ConfigError, match=r"Set model\.encoders\.sound\.front_end\.hop=160"):
        give(start, 16, front_end={"kind": "logmel", "hop": 80})
    give(start, 16, dropout=0.5, front_end={"kind": "logmel", "augment": None})


def test_what_is_kept_reads_back(tmp_path):
    start = start_of(16)
    start.keep(tmp_path / "kept.safetensors")
    again = open_start({"sound": "runs/a:b"}, kept=tmp_path / "kept.safetensors")
    assert again.origins == start.origins
    assert again.weights["sound"].keys() == start.weights["sound"].keys()
