import pytest

from contracts import check_config
from tonggan.modalities.multilabel import MultilabelConfig


def test_labels_of_a_value():
    config = MultilabelConfig()
    check_config(config)
    assert config.split("a| b |a||c") == ["a", "b", "c"]
    assert config.split(["x", None, "x ", 3, "3.0"]) == ["x", 3]
    assert config.split([]) == []
    assert config.split(7) == [7]
    assert config.split(None) is None
    assert config.split("  ") is None
    assert MultilabelConfig(separator=", ").split("red, big") == ["red", "big"]


def test_a_separator_is_needed():
    with pytest.raises(ValueError, match="at least 1 character"):
        MultilabelConfig(separator="")
