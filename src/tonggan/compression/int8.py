"""Encoders in 8-bit integers: weights and activations, by scales that some training rows have shown, on the CPU.

The arithmetic is that of ONNX Runtime, whose kernels use what the processor has for it (VNNI, AMX).
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tonggan.compression.onnx_graph import compute, graph_of, open_graph
from tonggan.encoders.present import encode_present
from tonggan.errors import ConfigError, DataError
from tonggan.models import FusedModel
from tonggan.tokens import Arrays, Masked, Tokens

_GRAPH = "graph"
_KINDS = ("Conv", "MatMul", "Gemm")
# Rows that are calibrated on at once.
_CALIBRATED_AT_ONCE = 16


class Int8Encoder(nn.Module):
    """Arrays to Tokens, as the encoder whose ``graph`` it holds; it cannot be trained.

    Args:
        num_bytes: of the graph, which is zeros at first.
        front_end: of the encoder, if it has one, which computes as it did: energies span more than 8 bits hold.
    """

    graph: Tensor

    def __init__(self, num_bytes: int, *, front_end: nn.Module | None = None) -> None:
        super().__init__()
        self.register_buffer(_GRAPH, torch.zeros(num_bytes, dtype=torch.uint8))
        self.front_end = front_end
        self._session: tuple[int, Any] | None = None

    def forward(self, arrays: Arrays) -> Tokens:
        """Tokens of a batch; only rows that are there are computed."""
        read = arrays if self.front_end is None else self.front_end(arrays)
        return encode_present(read, self._encode)

    def _encode(self, read: Masked) -> Tokens:
        threads = torch.get_num_threads()
        if self._session is None or self._session[0] != threads:
            self._session = threads, open_graph(self.graph.cpu().numpy().tobytes(), threads=threads)
        if len(read) == 0:  # which not every kernel computes
            values = read.values.new_zeros(1, *read.values.shape[1:])
            return self._encode(type(read)(values, read.mask.new_ones(1, *read.mask.shape[1:]))).take(torch.arange(0))
        found = compute(self._session[1], {"values": read.values, "mask": read.mask})
        values, mask, *maps = (each.to(read.values.device) for each in found)
        return Tokens(values, mask, maps)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}  # a copy opens its own


def quantize(model: FusedModel, batches: Sequence[dict[str, Arrays]]) -> list[str]:
    """Put an ``Int8Encoder`` in the place of every encoder of ``model`` that has something to gain.

    Args:
        model: trained, in evaluation mode.
        batches: inputs of the training part by name, which show how large activations are.

    Returns:
        The inputs whose encoders were replaced.

    Raises:
        ConfigError: no encoder has a convolution or a product of matrices.
        DataError: no encoder can be expressed in ONNX.
        MissingExtraError: ONNX or ONNX Runtime is not installed.
    """
    replaced: list[str] = []
    problem: DataError | None = None
    for place, name in enumerate(model.names):
        encoder = model.encoders[place]
        layers = [each for each in encoder.modules() if isinstance(each, nn.Linear | nn.modules.conv._ConvNd)]
        if not layers or isinstance(encoder, Int8Encoder):
            continue
        seen = [_read(encoder, batch[name].expand()) for batch in batches]
        seen = [each.take(each.present.nonzero().squeeze(1)) for each in seen if each.present.sum() > 1]
        if seen:
            try:
                model.encoders[place] = _quantized(encoder, seen)
                replaced.append(name)
            except DataError as error:  # as of recurrent ones; others may gain all the same
                problem = error
    if not replaced and problem is not None:
        raise problem
    if not replaced:
        raise ConfigError(
            "compress --quantize int8",
            got="encoders of " + ", ".join(model.names) + " without a convolution or a product of matrices",
            expected="a network whose time is spent in them",
            remedy="Serve the run as it is, or use --distill STUDENT",
        )
    return replaced


def with_int8(model: FusedModel, state: Mapping[str, Tensor]) -> None:
    """Put empty ``Int8Encoder`` in the place of the encoders that were stored as such, in place.

    Args:
        model: of the recipe.
        state: that it is to load.
    """
    for place, encoder in enumerate(model.encoders):
        graph = state.get(f"encoders.{place}.{_GRAPH}")
        if graph is not None:
            model.encoders[place] = Int8Encoder(graph.numel(), front_end=getattr(encoder, "front_end", None))


class _Plain(nn.Module):
    """What is exported of an encoder: values and mask to those of its Tokens, and its feature maps."""

    def __init__(self, encoder: nn.Module, *, kind: type[Masked]) -> None:
        super().__init__()
        self.encoder, self.kind = copy.deepcopy(encoder), kind
        if isinstance(getattr(encoder, "front_end", None), nn.Module):
            self.encoder.front_end = nn.Identity()  # what is read has passed it

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        values, mask = tensors
        tokens = self.encoder(self.kind(values, mask))
        return tokens.values, tokens.mask, *tokens.maps


def _read(encoder: nn.Module, arrays: Arrays) -> Masked:
    """What the quantized part of ``encoder`` reads."""
    front_end = getattr(encoder, "front_end", None)
    with torch.no_grad():
        read: Masked = arrays if front_end is None else front_end(arrays)
    return read


def _quantized(encoder: nn.Module, seen: Sequence[Masked]) -> Int8Encoder:
    first = seen[0]
    with torch.no_grad():
        plain = _Plain(encoder, kind=type(first)).eval()
        num_maps = len(plain(first.values, first.mask)) - 2
        names = ["tokens", "tokens_mask", *(f"map_{number}" for number in range(num_maps))]
        content = graph_of(
            plain, (first.values, first.mask), name=type(encoder).__name__, inputs=["values", "mask"], outputs=names
        )
    content = _quantize_graph(content, seen)
    made = Int8Encoder(len(content), front_end=getattr(encoder, "front_end", None))
    made.graph.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    return made.eval()


def _quantize_graph(content: bytes, seen: Sequence[Masked]) -> bytes:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rows: Iterator[dict[str, Any]] = iter(_calibrated(seen))

        def get_next(self) -> dict[str, Any] | None:
            return next(self.rows, None)

    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, made = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared", "int8"))
        plain.write_bytes(content)
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(made),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=list(_KINDS),
            extra_options={"MatMulConstBOnly": True},
        )
        return made.read_bytes()


def _calibrated(seen: Sequence[Masked]) -> Iterator[dict[str, Any]]:
    for each in seen:
        for rows in torch.split(torch.arange(len(each)), _CALIBRATED_AT_ONCE):
            part = each.take(rows)
            yield {"values": part.values.numpy(), "mask": part.mask.numpy()}
