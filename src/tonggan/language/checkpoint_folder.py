"""A model in a folder of Hugging Face's layout: config, tokenizer, and weights in safetensors files, read one by one.

Files that must be unpickled are refused: opening one can run anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from torch import Tensor

from tonggan.errors import DataError
from tonggan.language.causal_transformer import CausalTransformerConfig
from tonggan.language.tokenizer import Tokenizer, looks_like_control
from tonggan.language.weight_shapes import check_shapes
from tonggan.stored import DOWNLOAD, Record, named, read_object, read_record

_ONE_FILE, _INDEX = "model.safetensors", "model.safetensors.index.json"


class _Index(Record):
    """Which file each weight is in; files of this folder alone."""

    weight_map: dict[str, Annotated[str, Field(pattern=r"^[^/\\]+\.safetensors$")]]


class CheckpointFolder:
    """The model in the folder ``path``.

    Attributes:
        path: the folder.
        config: the model's shape.
        files: what holds its weights.

    Raises:
        ConfigError: its ``config.json`` describes an unknown architecture.
        DataError: a file is missing or damaged, or weights do not fit the config.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        config = self._config()
        with named(f"file {path / 'config.json'}", expected="the config of a language model", remedy=DOWNLOAD):
            self.config = CausalTransformerConfig.from_hugging_face(config, who=f"file {path / 'config.json'}")
        self._places = self._find_weights()
        self.files = tuple(sorted(set(self._places.values())))
        check_shapes(self.config, self._shapes(), who=f"folder {path}")

    def read(self, name: str) -> Tensor:
        """The weight ``name``, in the dtype that it is stored in."""
        with self._open(self._places[name]) as file:
            weight: Tensor = file.get_tensor(name)
        return weight

    def _config(self) -> dict[str, Any]:
        file = self.path / "config.json"
        if not file.is_file():
            raise DataError(
                f"folder {self.path}",
                got="no config.json",
                expected="a model in Hugging Face's layout: config.json, tokenizer.json, model.safetensors",
                remedy="Name a folder that save_pretrained has written",
            )
        return read_object(file, remedy=DOWNLOAD)

    def _find_weights(self) -> dict[str, Path]:
        """The file of each weight, by name; a second copy of tied embeddings is left out."""
        if (self.path / _INDEX).is_file():
            index = read_record(_Index, self.path / _INDEX, remedy=DOWNLOAD)
            places = {name: self.path / file for name, file in index.weight_map.items()}
        elif (self.path / _ONE_FILE).is_file():
            with self._open(self.path / _ONE_FILE) as file:
                places = dict.fromkeys(file.keys(), self.path / _ONE_FILE)
        else:
            raise self._no_weights()
        for file in sorted(set(places.values())):
            if not file.is_file():
                raise DataError(
                    f"folder {self.path}", got=f"no file {file.name}", expected=f"it, as {_INDEX} says", remedy=DOWNLOAD
                )
        tied = {"lm_head.weight"} if self.config.tie_word_embeddings else set()
        return {name: file for name, file in places.items() if name not in tied and not name.endswith("inv_freq")}

    def _no_weights(self) -> DataError:
        pickled = sorted(file.name for file in self.path.glob("*.bin"))
        return DataError(
            f"folder {self.path}",
            got=f"weights in {pickled[0]}, which can run any program when opened" if pickled else "no weights",
            expected=f"{_ONE_FILE}, or parts and {_INDEX}",
            remedy="Save the model with transformers: model.save_pretrained(folder, safe_serialization=True)",
        )

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = {}
        for path in self.files:
            with self._open(path) as file:
                for name in file.keys():  # noqa: SIM118 - not a mapping
                    if self._places.get(name) == path:
                        shapes[name] = tuple(file.get_slice(name).get_shape())
        return shapes

    @staticmethod
    @contextmanager
    def _open(path: Path) -> Iterator[Any]:
        from safetensors import safe_open

        with (
            named(f"file {path}", expected="weights in safetensors", remedy=DOWNLOAD),
            safe_open(path, framework="pt") as file,
        ):
            yield file


class _Token(Record):
    content: str


class _Template(Record):
    name: str
    template: str


class _Settings(Record):
    """What of ``tokenizer_config.json`` is read."""

    bos_token: str | _Token | None = None
    eos_token: str | _Token | None = None
    chat_template: str | list[_Template] | None = None


class _Ends(Record):
    """What of ``config.json`` and ``generation_config.json`` is read here."""

    eos_token_id: int | list[int] | None = None


def read_folder_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of the model in the folder ``path``.

    Raises:
        DataError: there is no ``tokenizer.json``, or one that cannot be read.
    """
    import tokenizers

    file = path / "tokenizer.json"
    who = f"file {file}"
    if not file.is_file():
        remedy = "Save the tokenizer there with transformers, whose fast tokenizers write this file"
        raise DataError(who, got="no such file", expected="the model's tokenizer", remedy=remedy)
    content = read_object(file, remedy=DOWNLOAD)
    settings = read_record(_Settings, path / "tokenizer_config.json", remedy=DOWNLOAD, is_optional=True)
    with named(who, expected="a tokenizer in JSON", remedy=DOWNLOAD):
        text = json.dumps(content, ensure_ascii=False) if _mark_control(content) else file.read_text(encoding="utf-8")
        library = tokenizers.Tokenizer.from_str(text)
        library.no_truncation()
        library.no_padding()
        texts = {key: _text(getattr(settings, key)) for key in ("bos_token", "eos_token")}
        names = {key: text for key, text in texts.items() if text and library.token_to_id(text) is not None}
        opening = library.encode("").ids  # what its post-processor writes around nothing
        start = library.token_to_id(names["bos_token"]) if "bos_token" in names else None
        return Tokenizer(
            library,
            start=start if start in opening[:1] else None,
            ends=_ends(path, library, names),
            chat_template=_chat_template(path, settings),
            names=names,
        )


def _mark_control(content: dict[str, Any]) -> bool:
    """Make all added tokens that look like control tokens special; whether there were others."""
    unmarked = [
        token
        for token in content.get("added_tokens", ())
        if not token["special"] and looks_like_control(token["content"])
    ]
    for token in unmarked:
        token["special"] = True
    return bool(unmarked)


def _text(token: str | _Token | None) -> str | None:
    """The text of a token that is written as a text, or as an object with its flags."""
    return token.content if isinstance(token, _Token) else token


def _ends(path: Path, library: Any, names: dict[str, str]) -> list[int]:
    """The tokenizer's end token, and all ids that the model's own files call an end."""
    ids = [library.token_to_id(names["eos_token"])] if "eos_token" in names else []
    for file in ("generation_config.json", "config.json"):
        given = read_record(_Ends, path / file, remedy=DOWNLOAD, is_optional=True).eos_token_id
        ids += given if isinstance(given, list) else [] if given is None else [given]
    return list(dict.fromkeys(ids))


def _chat_template(path: Path, settings: _Settings) -> str | None:
    """A file of its own, or an entry of ``tokenizer_config.json``: one text, or several with names."""
    file = path / "chat_template.jinja"
    if file.is_file():
        with named(f"file {file}", expected="text in UTF-8", remedy=DOWNLOAD):
            return file.read_text(encoding="utf-8")
    given = settings.chat_template
    if isinstance(given, list):
        return next((entry.template for entry in given if entry.name == "default"), None)
    return given
