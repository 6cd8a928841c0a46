"""The tokenizer in a folder of Hugging Face's layout, and what its neighbors say of starts, ends and chat templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tonggan.errors import DataError
from tonggan.language.tokenizer import Tokenizer, looks_like_control


def build(path: Path) -> Tokenizer:
    """The tokenizer of the model in the folder ``path``.

    Raises:
        DataError: there is no ``tokenizer.json``, or one that cannot be read.
    """
    import tokenizers

    file = path / "tokenizer.json"
    who = f"file {file}"
    try:
        library = tokenizers.Tokenizer.from_str(_with_control_marked(file.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        remedy = "Save the tokenizer there with transformers, whose fast tokenizers write this file"
        raise DataError(who, got="no such file", expected="the model's tokenizer", remedy=remedy) from error
    except Exception as error:
        remedy = "Download the model again"
        raise DataError(who, got=str(error), expected="a tokenizer in JSON", remedy=remedy) from error
    library.no_truncation()
    library.no_padding()
    settings = read_json(path / "tokenizer_config.json")
    texts = {key: _text(settings.get(key)) for key in ("bos_token", "eos_token")}
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


def _with_control_marked(text: str) -> str:
    """``tokenizer.json`` where all added tokens that look like control tokens are special."""
    content = json.loads(text)
    unmarked = [
        token
        for token in content.get("added_tokens", ())
        if not token["special"] and looks_like_control(token["content"])
    ]
    for token in unmarked:
        token["special"] = True
    return json.dumps(content, ensure_ascii=False) if unmarked else text


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty where there is no file.

    Raises:
        DataError: it is no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"file {path}", got=str(error), expected="JSON in UTF-8", remedy="Download the model again"
        ) from error
    if not isinstance(data, dict):
        raise DataError(
            f"file {path}", got=type(data).__name__, expected="a JSON object", remedy="Download the model again"
        )
    return data


def _text(token: Any) -> str | None:
    """The text of a token that is written as a text, or as an object with its flags."""
    return token.get("content") if isinstance(token, dict) else token


def _ends(path: Path, library: Any, names: dict[str, str]) -> list[int]:
    """The tokenizer's end token, and all ids that the model's own files call an end."""
    ids = [library.token_to_id(names["eos_token"])] if "eos_token" in names else []
    for file in ("generation_config.json", "config.json"):
        given = read_json(path / file).get("eos_token_id")
        ids += given if isinstance(given, list) else [] if given is None else [given]
    return list(dict.fromkeys(ids))


def _chat_template(path: Path, settings: dict[str, Any]) -> str | None:
    """A file of its own, or an entry of ``tokenizer_config.json``: one text, or several with names."""
    file = path / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    given = settings.get("chat_template")
    if isinstance(given, list):
        return next((entry["template"] for entry in given if entry["name"] == "default"), None)
    return given
