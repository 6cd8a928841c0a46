"""The tokenizer in a folder of Hugging Face's layout, and what its neighbors say of starts, ends and chat templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tonggan.errors import DataError
from tonggan.language.tokenizer import Tokenizer, looks_like_control
from tonggan.stored import DOWNLOAD, Record, named, read_object, read_record


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
