"""A tiny model that has learned one function by heart, for the prompts of one place in a file."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from tonggan.codelm.workspace import Workspace
from tonggan.codelm.writing import read_request
from tonggan.codelm.writing.sampling import Sampler
from tonggan.language.causal_transformer import CausalTransformer, CausalTransformerConfig
from tonggan.language.gguf_export import export_gguf
from tonggan.language.model import LanguageModel
from tonggan.language.tokenizer import Tokenizer
from tonggan.language.torch_engine import TorchEngine

SOURCE = '''\
def largest_even(numbers):
    """The largest even number.

    >>> largest_even([1, 4, 2])
    4
    """


def other(x):
    return x
'''
BODY = " return max(n for n in numbers if n % 2 == 0)\n\n\ndef other"
EXAMPLE = "largest_even([8, 9]) == 8"
WHAT = "the largest even number"


def recital(folder: Path) -> Path:
    """A GGUF file of the model, and ``folder/evens.py`` whose first function it can write."""
    torch.manual_seed(0)
    file = folder / "evens.py"
    file.write_text(SOURCE)
    tokenizer = Tokenizer.train([SOURCE, BODY], vocab_size=320)
    config = CausalTransformerConfig(
        vocab_size=tokenizer.size, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=1024, tie_word_embeddings=False,
    )  # fmt: skip
    model = CausalTransformer(config)
    request = read_request(WHAT, file, 1, examples=[EXAMPLE])
    language = LanguageModel(TorchEngine(model), tokenizer, name="recital")
    sampler = Sampler(language, infill=None, request=request, workspace=Workspace(folder))
    (prompt,) = sampler.prompts.values()
    answer = tokenizer.encode(BODY)
    ids = torch.tensor(prompt.ids + answer)
    model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(40):
        hidden = model(model.embed(ids[None]), mask=torch.ones(1, len(ids), dtype=torch.bool))
        loss = F.cross_entropy(model.logits(hidden)[0, :-1][-len(answer) :], ids[1:][-len(answer) :])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1, loss.item()
    export_gguf(model.eval(), tokenizer, folder / "recital.gguf", name="recital", kind="f32")
    return folder / "recital.gguf"
