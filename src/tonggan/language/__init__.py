"""Causal language models over text: architecture, tokenizers, engines, generation. It knows no picture and no sound."""
