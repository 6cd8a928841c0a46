"""Networks that transformers builds from a local folder, for architectures that Tonggan does not compute itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from tonggan.errors import DataError, MissingExtraError
from tonggan.stored import DOWNLOAD, named
from tonggan.weights.folder import WeightsFolder


def open_auto_model(folder: WeightsFolder) -> nn.Module:
    """The model in ``folder`` as ``AutoModel`` builds it, in float32, without a pooling layer where it can be left out.

    Raises:
        DataError: its weights are damaged, incomplete, or can only be unpickled by running what they hold.
        MissingExtraError: transformers is not installed.
    """
    try:
        from transformers import AutoModel
        from transformers.utils import logging
    except ImportError as error:
        purpose = f"weights of model_type {folder.config.get('model_type')!r}"
        raise MissingExtraError.of("transformers", extra="pretrained", purpose=purpose) from error
    folder.tensors()  # refuses what must not be unpickled
    logging.disable_progress_bar()
    settings: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False, "output_loading_info": True}
    # The weights are there already: it reads none where only shapes are wanted.
    with (
        named(f"folder {folder.path}", expected="a model that transformers knows", remedy=DOWNLOAD),
        torch.device("cpu"),
    ):
        try:
            model, found = AutoModel.from_pretrained(
                folder.path, dtype=torch.float32, add_pooling_layer=False, **settings
            )
        except TypeError:
            model, found = AutoModel.from_pretrained(folder.path, dtype=torch.float32, **settings)
    missing = sorted(name for name in found["missing_keys"] if "pooler" not in name)
    if missing:
        raise DataError(
            f"folder {folder.path}",
            got=f"no weight {missing[0]}" + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""),
            expected="all weights of its config",
            remedy=DOWNLOAD,
        )
    network: nn.Module = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model
    return network


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The parts that follow one another in it: those of its longest list; none where it has no list."""
    lists = [list(module) for module in network.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=[])
