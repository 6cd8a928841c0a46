"""A tiny chat model with random weights in a folder of Hugging Face's layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken
from tokenizers import Tokenizer as Library

from tonggan.language.llama import LlamaConfig
from tonggan.language.tokenizer import Tokenizer

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WIDTH = 32


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
    config = LlamaConfig(
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
