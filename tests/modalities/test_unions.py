"""The families of configs: each kind is read by its name, and a modality comes back from its state."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from tonggan.modalities import ColumnConfig, InputConfig, NumberConfig, TableConfig, load_modality


@pytest.mark.parametrize(
    "kind", ["image", "text", "audio", "number", "category", "multilabel", "ignore", "date", "time", "duration"]
)
def test_each_column_kind_is_read_by_name(kind: str) -> None:
    assert TypeAdapter(ColumnConfig).validate_python({"kind": kind}).kind == kind


def test_a_typo_is_answered_with_the_kinds() -> None:
    with pytest.raises(ValidationError, match=r"none of the kinds 'audio', .*'image', .*'text'"):
        TypeAdapter(ColumnConfig).validate_python({"kind": "imgae"})


def test_a_modality_comes_back_from_its_state() -> None:
    config = TypeAdapter(InputConfig).validate_python({"kind": "table", "columns": {"x": {"kind": "number"}}})
    assert config == TableConfig(columns={"x": NumberConfig()})
    table = config.build()
    table.fit({"x": [1, 2, 3]})
    items = [{"x": 5}]
    assert torch.equal(load_modality(config, table.state()).collate(items).values, table.collate(items).values)
