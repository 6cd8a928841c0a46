"""Encoders of texts, sounds and code: their speed beside the plain networks, and their accuracy on the same rows.

``speed``: seconds of the processor, on one thread, for a training step (forwards and backwards) of 64 texts of 8 to 48
tokens, or 16 sounds of 0.3 to 1 s at 8 kHz, beside the same network in plain PyTorch (packed sequences for recurrent
ones, nn.TransformerEncoder, the conformer layers of transformers, Conv1d with BatchNorm1d that padding pollutes),
without dropout, with freed memory kept for the next step. Steps of both take turns; told are the medians.

``accuracy``: networks alone, trained by the recipe of their set, test part, beside TF-IDF with logistic regression (of
words and characters), MFCC statistics with boosted trees, all on the same rows: --rows of the training part. Penalties
are chosen on the validation part.

Needs transformers for the conformer's peer. Run:
python benchmarks/sequence_encoders.py speed [--json]
TONGGAN_MIRROR=… python benchmarks/sequence_encoders.py accuracy [--rows 2000] [--sets thucnews fsdd …] [--json]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tonggan.data.places import cache_folder
from tonggan.encoders.audio_conformer import AudioConformerConfig
from tonggan.encoders.audio_front_end import AudioFrontEnd, LogMelConfig, mfcc
from tonggan.encoders.audio_rnn import AudioRNNConfig
from tonggan.encoders.audio_waveform import AudioWaveformConfig
from tonggan.encoders.text_rnn import TextRNNConfig
from tonggan.encoders.text_transformer import TextTransformerConfig
from tonggan.modalities import Audio, AudioConfig
from tonggan.modalities.text import Text, TextConfig
from tonggan.progress import Progress
from tonggan.runs.fitting import run_recipe
from tonggan.runs.recipe import load_recipe
from tonggan.runs.splits import open_splits
from tonggan.tokens import Arrays
from tonggan.training.memory import keep_freed_memory

DIM = 128
FRONT_END = LogMelConfig(num_fft=256, hop=128, num_mels=40, augment=None)
HEARD = "{kind: logmel, num_fft: 256, hop: 128, num_mels: 40}"
READERS = {
    "thucnews": ("headline", ["text_word2vec", "text_rnn", "text_transformer", "text_transformer causal=true"]),
    "ag_news": ("description", ["text_word2vec", "text_rnn", "text_transformer", "text_transformer causal=true"]),
    "fsdd": ("audio", ["audio_cnn", "audio_rnn", "audio_transformer", "audio_conformer", "audio_waveform"]),
    "code_defects": ("code", ["code_transformer", "code_graph"]),
}


class PlainRNN(nn.Module):
    """Embedding, packed recurrent layer, both ways, projection."""

    def __init__(self, cell: type[nn.RNNBase], num_tokens: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(num_tokens, DIM)
        self.recurrent = cell(DIM, DIM, batch_first=True, bidirectional=True)
        self.projection = nn.Linear(2 * DIM, DIM)

    def forward(self, arrays: Arrays) -> torch.Tensor:
        values = self.embedding(arrays.values) if arrays.values.dim() == 2 else arrays.values
        lengths = arrays.mask.sum(dim=1)
        packed = nn.utils.rnn.pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
        found, _ = nn.utils.rnn.pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)
        return self.projection(found)


class PlainTransformer(nn.Module):
    """Embedding, positions, PyTorch's encoder layers, a norm."""

    def __init__(self, num_tokens: int, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.embedding = nn.Embedding(num_tokens, DIM)
        self.positions = nn.Parameter(torch.zeros(128, DIM))
        layer = nn.TransformerEncoderLayer(DIM, 4, 4 * DIM, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(DIM), enable_nested_tensor=False)

    def forward(self, arrays: Arrays) -> torch.Tensor:
        length = arrays.values.shape[1]
        seen = torch.ones(length, length).tril() == 0 if self.causal else None
        values = self.embedding(arrays.values) + self.positions[:length]
        return self.layers(values, mask=seen, src_key_padding_mask=~arrays.mask)


class PlainConformer(nn.Module):
    """The same front end and convolutions, without masks, then the conformer layers of transformers."""

    def __init__(self) -> None:
        from transformers import Wav2Vec2ConformerConfig
        from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import Wav2Vec2ConformerEncoderLayer

        super().__init__()
        config = Wav2Vec2ConformerConfig(
            hidden_size=DIM, num_attention_heads=4, intermediate_size=4 * DIM, conv_depthwise_kernel_size=15,
            position_embeddings_type=None, hidden_act="swish", hidden_dropout=0.0, activation_dropout=0.0,
            attention_dropout=0.0, conformer_conv_dropout=0.0,
        )  # fmt: skip
        config._attn_implementation = "eager"
        self.front_end = AudioFrontEnd(FRONT_END, sample_rate=8000)
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        )  # fmt: skip
        self.projection = nn.Linear(320, DIM)
        self.layers = nn.ModuleList(Wav2Vec2ConformerEncoderLayer(config) for _ in range(2))

    def forward(self, arrays: Arrays) -> torch.Tensor:
        frames = self.front_end(arrays)
        values = self.projection(self.convolutions(frames.values.unsqueeze(1)).transpose(1, 2).flatten(2))
        hidden = ~frames.mask[:, ::4]
        barred = hidden[:, None, None].expand(-1, 1, hidden.shape[1], -1) * torch.finfo(torch.float32).min
        for layer in self.layers:
            found = layer(values, attention_mask=barred)
            values = found[0] if isinstance(found, tuple) else found
        return values


class PlainWaveform(nn.Module):
    """The same convolutions and blocks, whose statistics padding takes part in."""

    def __init__(self, config: AudioWaveformConfig) -> None:
        super().__init__()
        layers, before = [], 1
        for after, kernel, stride in zip(config.channels, config.kernels, config.strides, strict=True):
            convolution = nn.Conv1d(before, after, kernel, stride, kernel // 2, bias=False)
            layers += [convolution, nn.BatchNorm1d(after), nn.GELU()]
            before = after
        self.convolutions = nn.Sequential(*layers)
        self.projection = nn.Linear(before, DIM)
        layer = nn.TransformerEncoderLayer(DIM, 4, 4 * DIM, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, 1, norm=nn.LayerNorm(DIM), enable_nested_tensor=False)
        self.shortened = int(np.prod(config.strides))

    def forward(self, arrays: Arrays) -> torch.Tensor:
        values = self.projection(self.convolutions(arrays.values.unsqueeze(1)).transpose(1, 2))
        return self.layers(values, src_key_padding_mask=~arrays.mask[:, :: self.shortened])


class PlainAudioRNN(nn.Module):
    """The same front end, pairs of frames, then the plain recurrent network."""

    def __init__(self) -> None:
        super().__init__()
        self.front_end = AudioFrontEnd(FRONT_END, sample_rate=8000)
        self.embedding = nn.Linear(80, DIM)
        self.recurrent = PlainRNN(nn.LSTM, 1)

    def forward(self, arrays: Arrays) -> torch.Tensor:
        frames = self.front_end(arrays)
        length = frames.values.shape[1] // 2 * 2
        values = self.embedding(frames.values[:, :length].unflatten(1, (-1, 2)).flatten(2))
        return self.recurrent(Arrays(values, frames.mask[:, :length:2]))


def texts_and_sounds() -> tuple[Text, Arrays, Audio, Arrays]:
    """A vocabulary of 4,000 made-up words, a batch of texts, and one of sounds."""
    random = np.random.default_rng(0)
    words = [f"w{number}" for number in range(4_000)]
    text = Text(TextConfig(units="words", min_frequency=1))
    text.fit([" ".join(words)[:2000]] + [" ".join(words[start : start + 100]) for start in range(0, 4000, 100)])
    texts = text.collate([" ".join(random.choice(words, random.integers(8, 49))) for _ in range(64)])
    lengths = torch.from_numpy(random.integers(2_400, 8_001, 16))
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    sounds = torch.randn(mask.shape, generator=torch.Generator().manual_seed(0)) * 0.1 * mask
    return text, texts, Audio(AudioConfig(sample_rate=8000)), Arrays(sounds, mask)


def pairs() -> dict[str, tuple[nn.Module, nn.Module, Arrays]]:
    """Our network, the plain one, and what both read."""
    text, texts, audio, sounds = texts_and_sounds()
    waveform = AudioWaveformConfig(augment=None, dropout=0)
    conformer = AudioConformerConfig(front_end=FRONT_END, positions="sinusoidal", dropout=0)
    found = {
        f"text_rnn {cell}": (
            TextRNNConfig(cell=cell, dropout=0).build(text, dim=DIM),
            PlainRNN(plain, text.num_tokens),
            texts,
        )
        for cell, plain in (("gru", nn.GRU), ("lstm", nn.LSTM))
    }
    for causal in (False, True):
        own = TextTransformerConfig(causal=causal, dropout=0).build(text, dim=DIM)
        name = "text_transformer" + (" causal" if causal else "")
        found[name] = own, PlainTransformer(text.num_tokens, causal=causal), texts
    found["audio_rnn"] = AudioRNNConfig(front_end=FRONT_END, dropout=0).build(audio, dim=DIM), PlainAudioRNN(), sounds
    found["audio_conformer"] = conformer.build(audio, dim=DIM), PlainConformer(), sounds
    found["audio_waveform"] = waveform.build(audio, dim=DIM), PlainWaveform(waveform), sounds
    return found


def step(network: nn.Module, arrays: Arrays) -> float:
    """Seconds of the processor for one training step."""
    start = time.process_time()
    found = network(arrays)
    values = found if isinstance(found, torch.Tensor) else found.values
    values.square().mean().backward()
    return time.process_time() - start


def measure_speed(rounds: int) -> dict[str, dict[str, float]]:
    """By encoder, milliseconds of both and how many times as fast ours is."""
    torch.set_num_threads(1)
    keep_freed_memory()  # as in any training here; both gain by it
    results = {}
    for name, (own, plain, arrays) in pairs().items():
        taken = [(step(own, arrays), step(plain, arrays)) for _ in range(rounds + 2)][2:]
        ours, theirs = (1000 * statistics.median(each) for each in zip(*taken, strict=True))
        results[name] = {"own_ms": ours, "plain_ms": theirs, "ratio": theirs / ours}
    return results


def measure_accuracy(name: str, rows: int, epochs: int | None) -> dict[str, dict[str, float]]:
    """By encoder and baseline, accuracy on the test part, parameters and minutes."""
    column, kinds = READERS[name]
    recipe_name = "sports_or_tech" if name == "ag_news" else name
    results: dict[str, dict[str, float]] = {}
    for kind in kinds:
        chosen, *settings = kind.split()
        encoder = f"kind: {chosen}" + "".join(f", {each.replace('=', ': ')}" for each in settings)
        if name == "fsdd" and chosen != "audio_waveform":
            encoder += f", front_end: {HEARD}"
        overrides = [f"model.encoders={{{column}: {{{encoder}}}}}", "floor=null", "audit_alone=false"]
        overrides.append(f"data.max_rows={rows}")
        overrides += [] if epochs is None else [f"training.epochs={epochs}"]
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            model = run_recipe(load_recipe(recipe_name, overrides=overrides), out=Path(folder) / "run")
            parameters = sum(each.numel() for each in model.bundle.network.parameters())
            accuracy = model.results["metrics"]["test"]["accuracy"]
        minutes = (time.perf_counter() - start) / 60
        results[kind] = {"accuracy": accuracy, "parameters": parameters, "minutes": minutes}
    return results | baselines(recipe_name, column, rows)


def baselines(recipe_name: str, column: str, rows: int) -> dict[str, dict[str, float]]:
    """Plain classifiers of the same rows."""
    recipe = load_recipe(recipe_name, overrides=[f"data.max_rows={rows}", "floor=null"])
    cache = cache_folder()
    parts = open_splits(
        recipe.data, target=recipe.target, sources={}, seed=recipe.seed, cache=cache, progress=Progress()
    )
    items = {split: table.values(column) for split, table in parts.items()}
    if column == "code":  # which exercise it is for is an input of the networks as well
        items = {
            split: [
                f"exercise{number} {text}" for number, text in zip(parts[split].values("exercise"), each, strict=True)
            ]
            for split, each in items.items()
        }
    labels = {split: [str(value) for value in table.values(recipe.target[0])] for split, table in parts.items()}
    start = time.process_time()
    if column == "audio":
        name, accuracy, parameters = "MFCC statistics, boosted trees", *_of_sounds(items, labels)
    else:
        name, accuracy, parameters = "TF-IDF, logistic regression", *_of_texts(items, labels)
    minutes = (time.process_time() - start) / 60
    return {name: {"accuracy": accuracy, "parameters": parameters, "minutes": minutes}}


def _of_texts(items: dict, labels: dict) -> tuple[float, int]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_union

    read = make_union(
        TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char", ngram_range=(1, 4), min_df=2, sublinear_tf=True),
    )
    read.fit(items["train"])
    given = {split: read.transform(each) for split, each in items.items()}
    models = [LogisticRegression(C=c, max_iter=1000).fit(given["train"], labels["train"]) for c in (1, 10, 100)]
    best = max(models, key=lambda model: model.score(given["valid"], labels["valid"]))
    return best.score(given["test"], labels["test"]), best.coef_.size


def _of_sounds(items: dict, labels: dict) -> tuple[float, int]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    audio = Audio(AudioConfig(sample_rate=8000))

    def statistics_of(cell: dict) -> np.ndarray:
        arrays = audio.collate([audio.decode(cell["bytes"])])
        frames, _ = mfcc(arrays.values, arrays.mask, sample_rate=8000, num_fft=256, hop=128, num_mels=40)
        values = frames[0].numpy()
        changes = np.diff(values, axis=0, append=values[-1:])
        return np.concatenate([part for each in (values, changes) for part in (each.mean(0), each.std(0))])

    given = {split: np.stack([statistics_of(cell) for cell in each]) for split, each in items.items()}
    model = HistGradientBoostingClassifier(random_state=0).fit(given["train"], labels["train"])
    return model.score(given["test"], labels["test"]), 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("speed", "accuracy"))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own")
    parser.add_argument("--sets", nargs="+", choices=READERS, default=["thucnews", "fsdd", "code_defects"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.part == "speed":
        found = {"speed": measure_speed(options.rounds)}
    else:
        found = {name: measure_accuracy(name, options.rows, options.epochs) for name in options.sets}
    if options.json:
        print(json.dumps(found, indent=1))
        return
    for name, rows in found.items():
        print(f"{name}:")
        for kind, row in rows.items():
            print(f"  {kind:32}", *(f"{key} {value:,.4g}" for key, value in row.items()), sep="  ")


if __name__ == "__main__":
    main()
