"""Modules as ONNX graphs, and ONNX Runtime to compute them on the CPU."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tonggan.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator

OPSET = 18


def graph_of(
    module: nn.Module, arguments: Sequence[Tensor], *, name: str, inputs: Sequence[str], outputs: Sequence[str]
) -> bytes:
    """``module`` in evaluation mode as the bytes of an ONNX model; axes whose size does not show in it stay open.

    Args:
        module: maps ``*tensors`` to a tuple of tensors.
        arguments: an example of them, of at least two rows.
        name: of what is expressed, for an error.
        inputs: names of the arguments.
        outputs: names of the results.

    Raises:
        MissingExtraError: ONNX is not installed.
        DataError: the module does something that ONNX cannot express.
    """
    _require("onnx", "onnxscript")
    shapes = tuple(dict.fromkeys(range(each.dim()), torch.export.Dim.AUTO) for each in arguments)
    with _quiet(), torch.no_grad():
        try:
            program = torch.onnx.export(
                module.eval(),
                tuple(arguments),
                dynamo=True,
                dynamic_shapes=(shapes,),
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=list(outputs),
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise DataError(
                f"ONNX graph of {name}",
                got=str(error.__cause__ or error).strip().splitlines()[0],
                expected="a network that ONNX can express",
                remedy="Serve the run itself, or export a bundle of one file with --format bundle",
            ) from error
    assert program is not None, "the exporter gives a program"
    content: bytes = program.model_proto.SerializeToString()
    return content


def open_graph(content: bytes, *, threads: int) -> Any:
    """A session of ONNX Runtime for the model in ``content``, on so many threads of the CPU.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        DataError: the bytes are no such model.
    """
    _require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Else its threads wait busily for the next call, and take the cores from PyTorch's.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise DataError(
            "ONNX graph",
            got=str(error).strip().splitlines()[0],
            expected="a model that ONNX Runtime opens",
            remedy="Update ONNX Runtime, or make the file again",
        ) from error


def compute(session: Any, arguments: Mapping[str, Tensor]) -> list[Tensor]:
    """What the graph makes of ``arguments`` by name."""
    found = session.run(None, {name: each.cpu().numpy() for name, each in arguments.items()})
    return [torch.from_numpy(each) for each in found]


def with_notes(content: bytes, notes: Mapping[str, str]) -> bytes:
    """The ONNX model in ``content`` with what it says of itself."""
    import onnx

    model = onnx.load_from_string(content)
    onnx.helper.set_model_props(model, dict(notes))
    noted: bytes = model.SerializeToString()
    return noted


def load_runtime() -> bool:
    """Import ONNX Runtime; False where it is not installed."""
    if find_spec("onnxruntime") is None:
        return False
    import onnxruntime  # noqa: F401 - done

    return True


def _require(*packages: str) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError.of(package, extra="onnx", purpose="exchange with ONNX")


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter tells of its passes, and of packages that it would also know."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
