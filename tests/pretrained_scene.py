"""Tiny models with random weights in folders of Hugging Face's layout: a chat model, and a code model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers import Tokenizer as Library

from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.language.tokenizer import Tokenizer

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH = 32
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def pretrained_folder(folder: Path, *, unused: Sequence[str] = ()) -> Path:
    """``folder`` with such a model, 32 wide, over bytes and two control tokens, and more that nothing uses."""
    folder.mkdir(parents=True, exist_ok=True)
    library = Library.from_str(
        json.loads(json.dumps(Tokenizer.train(["what is it?"], vocab_size=300).state()))["tokenizer"]
    )
    library.add_special_tokens([AddedToken(name, special=True) for name in ("<|im_start|>", "<|im_end|>", *unused)])
    library.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    config = CausalTransformerConfig(
        vocab_size=library.get_vocab_size(),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
    )
    torch.manual_seed(0)
    save_file(config.build().state_dict(), folder / "model.safetensors")
    shape = config.to_dict()
    del shape["dropout"]
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", **shape}))
    return folder


def qwen_coder_folder(folder: Path) -> Path:
    """``folder`` with a tiny model of Qwen2.5-Coder's layout: its keys of ``config.json``, biases, tied embeddings, and
    a tokenizer whose tokens to fill in with are not marked as special, as in the published files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    library = Library(models.BPE())
    library.normalizer = normalizers.NFC()
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator(
        ["def double(number):\n    return number * 2\n"] * 4,
        trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False),
    )
    library.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    infill = ["<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"]
    library.add_tokens([AddedToken(name, normalized=False, special=False) for name in infill])
    library.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": None, "eos_token": "<|endoftext|>", "add_prefix_space": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    size = library.get_vocab_size()
    shape = {
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": size - 9,
        "eos_token_id": size - 9, "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02,
        "intermediate_size": 96, "max_position_embeddings": 512, "max_window_layers": 2, "model_type": "qwen2",
        "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 512, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
        "use_cache": True, "use_sliding_window": False, "vocab_size": size + 7,  # the published ones have spare rows
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(shape))
    torch.manual_seed(2)
    model = CausalTransformerConfig.from_hugging_face(shape, who="config.json").build()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.1)
    weights = {name: weight.bfloat16() for name, weight in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, folder / "model.safetensors")
    return folder
