import pytest

from contracts import check_config
from tonggan.modalities.multilabel import MultilabelConfig


def test_labels_of_a_value():
    config = MultilabelConfig()
    check_config(config)
    assert config.labels("a| b |a||c") == ["a", "b", "c"]
    assert config.labels(["x", None, "x ", 3, "3.0"]) == ["x", 3]
    assert config.labels([]) == []
    assert config.labels(7) == [7]
    assert config.labels(None) is None
    assert config.labels("  ") is None
    assert config.labels('["red", "round", "red"]') == ["red", "round"]
    assert config.labels("['it\\'s', 2]") == ["it's", 2]
    assert config.labels("[]") == []
    assert config.labels("['a' 'b']") == ["['a' 'b']"]
    assert config.labels("[a|b]") == ["[a", "b]"]
    assert MultilabelConfig(separator=", ").labels("red, big") == ["red", "big"]


def test_a_separator_is_needed():
    with pytest.raises(ValueError, match="at least 1 character"):
        MultilabelConfig(separator="")
