"""A tiny text embedder with random weights, over the words of a few texts."""

from __future__ import annotations

from collections.abc import Iterable

import tokenizers
import torch
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from tonggan.encoders.bert import BertConfig
from tonggan.models.text_embedder import TextEmbedder


def tiny_embedder(texts: Iterable[str], *, max_tokens: int = 32, width: int = 32, seed: int = 0) -> TextEmbedder:
    """An embedder of two layers that knows the words of ``texts``."""
    library = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    library.normalizer = normalizers.BertNormalizer()
    library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    library.train_from_iterator(texts, trainer)
    library.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=library.get_vocab_size(),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
    )
    return TextEmbedder(config.build(), library, max_tokens=max_tokens)
