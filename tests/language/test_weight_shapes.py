import pytest

from tonggan.errors import DataError
from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.language.weight_shapes import check_shapes, weight_shapes

CONFIG = CausalTransformerConfig(
    vocab_size=7, hidden_size=8, intermediate_size=12, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1
)


def test_shapes_are_those_of_the_model():
    built = {name: tuple(weight.shape) for name, weight in CONFIG.build().state_dict().items()}
    assert weight_shapes(CONFIG) == built
    assert built["model.layers.0.self_attn.k_proj.weight"] == (4, 8)
    assert "lm_head.weight" not in built
    untied = CONFIG.model_copy(update={"tie_word_embeddings": False, "attention_bias": True})
    assert weight_shapes(untied)["lm_head.weight"] == (7, 8)
    assert weight_shapes(untied)["model.layers.0.self_attn.q_proj.bias"] == (8,)


def test_what_does_not_fit_is_named():
    shapes = weight_shapes(CONFIG)
    check_shapes(CONFIG, shapes, who="x")
    name = "model.norm.weight"
    with pytest.raises(DataError, match=r"x: got no weight model.norm.weight, expected"):
        check_shapes(CONFIG, {key: shape for key, shape in shapes.items() if key != name}, who="x")
    with pytest.raises(DataError, match=r"got no weight .* \(and \d+ more\)"):
        check_shapes(CONFIG, {}, who="x")
    with pytest.raises(DataError, match=r"got a weight y, expected no others"):
        check_shapes(CONFIG, shapes | {"y": (1,)}, who="x")
    with pytest.raises(DataError, match=r"got model.norm.weight of shape \(9,\), expected shape \(8,\)"):
        check_shapes(CONFIG, shapes | {name: (9,)}, who="x")
