"""The compiled library, loaded through ctypes: its calls run without the interpreter's lock. No arithmetic here."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_float, c_int, c_int32, c_int64, c_void_p
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import ClassVar

from tonggan.errors import ConfigError

KERNELS = ("portable", "avx2", "avx512")
"""Kinds of kernels, slowest first; each needs a processor that has what the name says (avx512: with VNNI)."""


class Shape(Structure):
    """``struct shape`` of source/decoder.h."""

    _fields_: ClassVar = [
        ("vocab_size", c_int32),
        ("dim", c_int32),
        ("intermediate_size", c_int32),
        ("num_layers", c_int32),
        ("num_heads", c_int32),
        ("num_key_value_heads", c_int32),
        ("head_dim", c_int32),
        ("max_length", c_int32),
        ("num_threads", c_int32),
        ("epsilon", c_float),
        ("sliding_window", c_int32),
    ]


class Cache(Structure):
    """``struct cache`` of source/decoder.h."""

    _fields_: ClassVar = [("keys", c_void_p), ("values", c_void_p), ("num_rows", c_int64), ("capacity", c_int64)]


# Result and arguments of each function; all pointers are plain addresses, except those to the structures above.
_SIGNATURES = {
    "tonggan_best_kernels": (c_int, []),
    "tonggan_create": (c_void_p, [POINTER(Shape), c_void_p, c_int]),
    "tonggan_free": (None, [c_void_p]),
    "tonggan_weight_bytes": (c_int64, [c_void_p]),
    "tonggan_set_matrix": (None, [c_void_p, c_int, c_void_p]),
    "tonggan_set_vector": (None, [c_void_p, c_int, c_void_p]),
    "tonggan_set_rotary": (None, [c_void_p, c_void_p]),
    "tonggan_read_rows": (None, [c_void_p, c_int, c_int64, c_void_p, c_void_p]),
    "tonggan_quantize": (None, [c_int, c_void_p, c_void_p, c_int64, c_int64, c_void_p]),
    "tonggan_step": (
        c_int,
        [c_void_p, POINTER(Cache), c_int64, *[c_void_p] * 4, c_int64, c_void_p, c_void_p, c_void_p],
    ),
    "tonggan_logits": (c_int, [c_void_p, c_int64, c_void_p, c_void_p]),
}


@cache
def load() -> ctypes.CDLL:
    """The library, with the signatures of its functions set.

    Raises:
        ConfigError: it was not built, or this system cannot load it.
    """
    path = next((path for path in map(_path, EXTENSION_SUFFIXES) if path.is_file()), None)
    if path is None:
        raise _error("no compiled kernels: there was no C compiler (GCC or Clang) when Tonggan was installed")
    try:
        library = ctypes.CDLL(str(path))
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:  # AttributeError: a build of another version
        raise _error(f"compiled kernels that do not load ({error})") from error
    return library


def _path(suffix: str) -> Path:
    return Path(__file__).parent / f"_kernels{suffix}"


def _error(got: str) -> ConfigError:
    return ConfigError(
        "the native engine",
        got=got,
        expected="kernels built for this system",
        remedy="Install a C compiler and Tonggan again, or use the torch engine",
    )


def available() -> str | None:
    """Why the native engine cannot be used here; None where it can."""
    try:
        load()
    except ConfigError as error:
        return error.got
    return None


def best_kernels() -> str:
    """The fastest of ``KERNELS`` that this processor runs."""
    return KERNELS[load().tonggan_best_kernels()]
