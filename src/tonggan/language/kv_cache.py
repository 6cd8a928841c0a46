"""The key-value cache of some sequences: what each layer's attention keeps of the tokens it has seen.

Its memory is taken once. It holds no weights and chooses no token.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.layers.rotary import rotary_table, turn


class KeyValueCache:
    """Keys and values of ``num_rows`` sequences of at most ``capacity`` tokens.

    Attributes:
        keys: ``[num_layers, num_rows, K, capacity, E]``, rotated by their positions.
        values: likewise.
        window: tokens that a token sees, itself included; None for all before it.
        lengths: int64 ``[num_rows]`` on the CPU.
    """

    def __init__(
        self, config: CausalTransformerConfig, num_rows: int, *, capacity: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        shape = (config.num_hidden_layers, num_rows, config.num_key_value_heads, capacity, config.head_width)
        # Zeros, not whatever memory held: hidden positions weigh 0, and 0 times NaN is NaN.
        self.keys = torch.zeros(shape, device=device, dtype=dtype)
        self.values = torch.zeros(shape, device=device, dtype=dtype)
        self.lengths = torch.zeros(num_rows, dtype=torch.int64)
        self.window = config.sliding_window
        self.cosine, self.sine = rotary_table(capacity, config.head_width, base=config.rope_theta, device=device)

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def truncate(self, lengths: Tensor, *, rows: Tensor) -> None:
        """Forget what ``rows`` hold beyond ``lengths``."""
        assert (lengths <= self.lengths[rows]).all(), "truncate can only shorten"
        self.lengths[rows] = lengths

    def copy(self, sources: Tensor, *, rows: Tensor) -> None:
        """Let ``rows`` hold what ``sources`` held before the call."""
        moved = sources != rows
        sources, rows = sources[moved], rows[moved]
        if len(rows) == 0:
            return
        used = int(self.lengths[sources].max())
        source_index, row_index = sources.to(self.keys.device), rows.to(self.keys.device)
        for part in (self.keys, self.values):
            for layer in part:  # layer by layer, so that the copy made on the way stays small
                layer[row_index, :, :used] = layer[source_index, :, :used]
        self.lengths[rows] = self.lengths[sources]


class Extension:
    """One pass that appends tokens to rows of a cache: an ``Attend`` that writes them and looks back at all.

    Args:
        cache: what is extended; its lengths grow at once.
        rows: int64 ``[R]`` on the CPU.
        counts: int64 ``[R]`` on the CPU, real tokens of each row, from the left.
        length: L, tokens of a row, padding included.
    """

    def __init__(self, cache: KeyValueCache, *, rows: Tensor, counts: Tensor, length: int) -> None:
        starts = cache.lengths[rows]
        ends = starts + counts
        assert int(ends.max()) <= cache.capacity, "more tokens than the session has room for"
        device = cache.keys.device
        self.cache = cache
        self.total = int(ends.max())
        self.rows = _as_slice(rows, device)
        self.level = bool((starts == starts[0]).all())
        self.start, self.length = int(starts[0]), length
        window = cache.window or self.total
        self.fresh = self.level and self.start == 0 and length > 1 and (cache.window is None or length <= window)
        self.first = max(0, int(starts.min()) - window + 1)  # what lies before it no token sees
        offsets = torch.arange(length)
        positions = (starts[:, None] + offsets).clamp(max=cache.capacity - 1)  # [R, L]; only padding can lie beyond
        self.visible: Tensor | None = None
        if not self.fresh and (length > 1 or not self.level):
            real_positions = positions.minimum(ends[:, None] - 1)  # padding far behind would see nothing, and give NaN
            ages = real_positions[:, None, :, None] - torch.arange(self.first, self.total)  # [R, 1, L, total - first]
            self.visible = ((ages >= 0) & (ages < window)).to(device)
        real = offsets < counts[:, None]
        # Where all rows are equally long, a slice is written; else the real tokens go where each row ends.
        self.real: tuple[Tensor, ...] | None = None
        if not self.level or not bool(real.all()):
            self.real = (
                rows[:, None].expand_as(positions)[real].to(device),
                positions[real].to(device),
                real.to(device),
            )
        rotated = (positions[:1] if self.level else positions).to(device)
        self.cosine, self.sine = cache.cosine[rotated, None], cache.sine[rotated, None]  # [1 or R, L, 1, E/2]
        cache.lengths[rows] = ends

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor, /) -> Tensor:
        """``query [R, L, H, E]``, ``key`` and ``value [R, L, K, E]`` to what is found ``[R, L, H, E]``."""
        dtype = self.cache.keys.dtype
        query = turn(query, self.cosine, self.sine).to(dtype).transpose(1, 2)
        key, value = turn(key, self.cosine, self.sine).to(dtype), value.to(dtype)
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        if self.real is None:
            keys[self.rows, :, self.start : self.start + self.length] = key.transpose(1, 2)
            values[self.rows, :, self.start : self.start + self.length] = value.transpose(1, 2)
        else:
            rows, positions, real = self.real
            keys[rows, :, positions] = key[real]
            values[rows, :, positions] = value[real]
        if self.fresh:
            found = F.scaled_dot_product_attention(
                query, key.transpose(1, 2), value.transpose(1, 2), is_causal=True, enable_gqa=True
            )
            return found.transpose(1, 2)
        seen = slice(self.first, self.total)
        return self._look_back(query, keys[self.rows, :, seen], values[self.rows, :, seen])

    def _look_back(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """``query [R, H, L, E]`` over ``keys``, ``values [R, K, T, E]``, not repeated for their groups."""
        count, heads, length, width = query.shape
        groups = heads // keys.shape[1]
        grouped = query.reshape(count, -1, groups * length, width)
        visible = None if self.visible is None else self.visible.repeat(1, 1, groups, 1)
        found = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=visible)
        return found.reshape(count, heads, length, width).transpose(1, 2)


def _as_slice(rows: Tensor, device: torch.device) -> slice | Tensor:
    """Consecutive rows as a slice, which copies nothing."""
    first, count = int(rows[0]), len(rows)
    if torch.equal(rows, torch.arange(first, first + count)):
        return slice(first, first + count)
    return rows.to(device)
