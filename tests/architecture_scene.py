"""Each known architecture of language models, small and with random weights: Tonggan's model and transformers'."""

from __future__ import annotations

from functools import cache

import torch
import transformers

from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig

SIZES = {
    "vocab_size": 300,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
KINDS = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"tie_word_embeddings": True}),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {"rope_theta": 500_000.0}),
    "qwen2_tied": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {"tie_word_embeddings": True}),
    "mistral": (transformers.MistralConfig, transformers.MistralForCausalLM, {"head_dim": 32, "sliding_window": 7}),
}


@cache
def reference(kind: str) -> transformers.PreTrainedModel:
    """The model of transformers. Not to be changed."""
    torch.manual_seed(0)
    config, build, extra = KINDS[kind]
    model = build(config(**SIZES, **extra, bos_token_id=1, eos_token_id=2, pad_token_id=0)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=1.0 if parameter.dim() == 1 else 0.15)
    return model


def own(kind: str) -> CausalTransformer:
    """The same weights in Tonggan's."""
    state = dict(reference(kind).state_dict())
    if reference(kind).config.tie_word_embeddings:
        del state["lm_head.weight"]
    model = CausalTransformerConfig.from_hugging_face(reference(kind).config.to_dict()).build().eval()
    model.load_state_dict(state)
    return model


def random_ids(*shape: int) -> torch.Tensor:
    return torch.randint(3, SIZES["vocab_size"], shape, generator=torch.Generator().manual_seed(3))
