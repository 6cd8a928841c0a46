import pytest
import torch

from architecture_scene import KINDS, own
from generation_scene import engine, language_model, tokenizer
from tonggan.errors import DataError
from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.language.gguf_export import export_gguf
from tonggan.language.gguf_file import GGUFFile
from tonggan.language.gguf_tokenizer import read_gguf_tokenizer
from tonggan.language.low_rank import add_adapters
from tonggan.language.settings import GenerationConfig


def qwen2():
    torch.manual_seed(0)
    config = CausalTransformerConfig(
        vocab_size=310,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        attention_bias=True,
    )
    model = config.build()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
@pytest.mark.parametrize("build", [qwen2, lambda: engine().model])
def test_own_round_trip(tmp_path, build, kind):
    model = build()
    export_gguf(model, tokenizer(), tmp_path / "x.gguf", name="x", kind=kind)
    file = GGUFFile(tmp_path / "x.gguf")
    assert file.config == model.config.model_copy(update={"head_dim": model.config.head_width})
    assert read_gguf_tokenizer(file.metadata).encode("the cat 你好") == tokenizer().encode("the cat 你好")
    for name, weight in model.state_dict().items():
        found = torch.from_numpy(file.dequantize(name))
        if kind == "f32" or weight.dim() == 1:
            assert torch.equal(found, weight)
        elif kind == "f16" or weight.shape[1] % 32:
            assert torch.equal(found, weight.half().float())
        else:
            # Eight bits for each 32 numbers: half a step of 1/127 of the largest, and float16's rounding of the step.
            step = weight.unflatten(1, (-1, 32)).abs().amax(-1, keepdim=True) / 127
            assert ((found - weight).unflatten(1, (-1, 32)).abs() <= step * 0.6).all()


def test_llama_cpp_gives_the_same_probabilities(tmp_path):
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    from tonggan.language.llamacpp import LlamaCppModel

    export_gguf(engine().model, tokenizer(), tmp_path / "x.gguf", name="x", kind="f16")
    other, own = LlamaCppModel(tmp_path / "x.gguf", max_length=128, num_threads=1, num_parallel=1), language_model()
    settings = GenerationConfig(max_tokens=1, logprobs=5)
    for text in ("the", "the dog sat on the cat", "你好，世界！今天天气很好。"):
        prompt = own.prompt(text)
        assert other.prompt(text).ids == prompt.ids
        hidden = engine().hidden(prompt.embed(engine())[None], mask=torch.ones(1, prompt.length, dtype=torch.bool))
        expected = engine().logits(hidden[0, -1]).log_softmax(dim=-1)
        top = other.generate([prompt], settings)[0].logprobs[0].top
        assert len(top) == 5
        for id_, logprob in top:
            assert logprob == pytest.approx(expected[id_].item(), abs=0.05)


def test_adapters_must_be_merged_first(tmp_path):
    model = qwen2()
    add_adapters(model, rank=2)
    with pytest.raises(DataError, match="model to export: got no weight"):
        export_gguf(model, tokenizer(), tmp_path / "x.gguf", name="x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_comes_back_from_a_file(tmp_path, kind):
    from gguf import GGUFReader

    model = own(kind)
    export_gguf(model, tokenizer(), tmp_path / "x.gguf", name="x", kind="f32")
    file = GGUFFile(tmp_path / "x.gguf")
    # Up to a window's length it changes nothing, and other readers of the file know none.
    window = model.config.sliding_window
    longest = window or model.config.max_position_embeddings
    update = {"head_dim": model.config.head_width, "sliding_window": None, "max_position_embeddings": longest}
    assert file.config == model.config.model_copy(update=update)
    state = {name: torch.from_numpy(file.dequantize(name)) for name in file.tensors}
    assert state.keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        assert torch.equal(state[name], weight), name
    names = {tensor.name for tensor in GGUFReader(tmp_path / "x.gguf").tensors}
    assert ("output.weight" in names) is not model.config.tie_word_embeddings
    assert ("blk.0.attn_q.bias" in names) is kind.startswith("qwen2")


def test_a_file_with_a_window_keeps_its_context(tmp_path):
    from gguf import GGUFWriter

    from tonggan.language.gguf_names import to_gguf

    writer, model = GGUFWriter(tmp_path / "x.gguf", "llama"), own("mistral")
    for key, value in {
        "embedding_length": 64,
        "feed_forward_length": 96,
        "block_count": 2,
        "context_length": 128,
    }.items():
        writer.add_uint32(f"llama.{key}", value)
    for key, value in {"head_count": 4, "head_count_kv": 2, "key_length": 32, "sliding_window": 7}.items():
        writer.add_uint32(f"llama.attention.{key}", value)
    writer.add_layer_norm_rms_eps(1e-5)
    for name, weight in model.state_dict().items():
        writer.add_tensor(to_gguf(name), weight.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    config = GGUFFile(tmp_path / "x.gguf").config
    assert (config.sliding_window, config.max_position_embeddings) == (7, 128)


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_says_the_same_of_every_architecture(tmp_path, kind):
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")
    from tonggan.language.llamacpp import LlamaCppModel

    model = own(kind)
    export_gguf(model, tokenizer(), tmp_path / "x.gguf", name="x", kind="f32")
    other = LlamaCppModel(tmp_path / "x.gguf", max_length=64, num_threads=1, num_parallel=1)
    prompt = other.prompt("the cat" if model.config.sliding_window else "the dog sat on the cat 你好")
    expected = model.logits(model(model.embed(torch.tensor([prompt.ids])))[0, -1]).log_softmax(dim=-1)
    for id_, logprob in other.generate([prompt], GenerationConfig(max_tokens=1, logprobs=5))[0].logprobs[0].top:
        assert logprob == pytest.approx(expected[id_].item(), abs=0.05)
