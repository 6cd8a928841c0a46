"""A real file retyped key by key through the language server: how long a suggestion takes, beside llama.cpp's server.

    python benchmarks/editor_latency.py --keys 400
    python benchmarks/editor_latency.py --findings 10 --file src/tonggan/codelm/walk.py

Each key is an edit and a wish for a suggestion, as an editor sends them, and waits for its answer. llama.cpp's server
gets the text before the cursor for each key, plainly, with its own cache of prompts. Both read the same weights. With
``--findings`` it is how long after the last key of a change the first finding of a review is shown, in the repository
that the file is in.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import os
import shutil
import statistics
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from lsprotocol import types
from pygls.lsp.client import LanguageClient

from tonggan.language.gguf_file import GGUFFile
from tonggan.language.llamacpp import LlamaCppModel
from tonggan.language.pretrained import SMOLLM2, load_pretrained
from tonggan.language.settings import GenerationConfig

LINE_TOKENS = 32
CONTEXT_CHARACTERS = 3000  # of the peer's prompt, about as many tokens as the server reads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=Path(sysconfig.get_paths()["stdlib"]) / "textwrap.py")
    parser.add_argument("--start", type=int, default=150, help="line from which on the file is typed again")
    parser.add_argument("--keys", type=int, default=400)
    parser.add_argument("--index", action="store_true", help="keep an index of the file's folder")
    parser.add_argument("--findings", type=int, default=0, help="so many changes that a review finds something in")
    options = parser.parse_args()
    if options.findings:
        seconds = sorted(asyncio.run(findings_of(options.file.resolve(), options.findings)))
        told = ", ".join(f"{each:.2f}" for each in seconds)
        sys.stdout.write(f"first finding after the last key, median {statistics.median(seconds):.2f} s: {told} s\n")
        return
    text = options.file.read_text(encoding="utf-8")
    place = sum(len(line) + 1 for line in text.split("\n")[: options.start])
    keys = range(place, min(len(text), place + options.keys))
    show("tonggan code lsp", asyncio.run(through_the_server(options.file, text, keys, with_index=options.index)))
    if importlib.util.find_spec("xllamacpp") is None:
        sys.stdout.write("llama.cpp's server: skipped, xllamacpp is not installed\n")
    else:
        show("llama.cpp's server", through_llamacpp(text, keys))


async def through_the_server(file: Path, text: str, keys: range, *, with_index: bool) -> list[tuple[float, bool]]:
    """Seconds of each key, and whether there was a suggestion."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        shutil.copy(file, root / "typed.py")
        client = LanguageClient("benchmark", "1")
        ready = asyncio.Event()

        @client.feature(types.WINDOW_LOG_MESSAGE)
        def _(params: types.LogMessageParams) -> None:
            if params.message.startswith("Completion is ready"):
                ready.set()

        history = ["--history", str(root / "history.sqlite")]
        options = [*history, *([] if with_index else ["--no-index"])]
        command = [sys.executable, "-P", "-m", "tonggan", "code", "lsp", *options]
        await client.start_io(*command, env=dict(os.environ))
        inline = types.TextDocumentClientCapabilities(inline_completion=types.InlineCompletionClientCapabilities())
        await client.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(text_document=inline), root_uri=root.resolve().as_uri()
            )
        )
        client.initialized(types.InitializedParams())
        await ready.wait()
        seconds = await type_again(client, (root / "typed.py").resolve().as_uri(), text, keys)
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()
        return seconds


async def findings_of(file: Path, count: int) -> list[float]:
    """Seconds from each change to the first finding that is told of it; those of the server's start are not told."""
    root = next(folder for folder in file.parents if (folder / ".git").exists())
    client = LanguageClient("benchmark", "1")
    told: asyncio.Queue[set[str]] = asyncio.Queue()

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def _(params: types.PublishDiagnosticsParams) -> None:
        told.put_nowait({each.message.partition("\n")[0] for each in params.diagnostics})

    with tempfile.TemporaryDirectory() as name:
        options = ["--history", str(Path(name) / "history.sqlite"), "--no-index"]
        await client.start_io(sys.executable, "-P", "-m", "tonggan", "code", "lsp", *options, env=dict(os.environ))
        await client.initialize_async(
            types.InitializeParams(capabilities=types.ClientCapabilities(), root_uri=root.as_uri())
        )
        client.initialized(types.InitializedParams())
        text, seconds = file.read_text(encoding="utf-8"), []
        document = types.TextDocumentItem(file.as_uri(), "python", 0, text)
        client.text_document_did_open(types.DidOpenTextDocumentParams(document))
        for number in range(1, count + 2):
            wrong = f'def new_{number}(a):\n    """New.\n\n    Args:\n        a: one.\n        b: two.\n    """\n'
            change = types.TextDocumentContentChangeWholeDocument(f"{text}\n\n{wrong}")
            version = types.VersionedTextDocumentIdentifier(number, document.uri)
            start = time.perf_counter()
            client.text_document_did_change(types.DidChangeTextDocumentParams(version, [change]))
            while not any(f"new_{number} " in message for message in await told.get()):
                pass
            seconds.append(time.perf_counter() - start)
        await client.shutdown_async(None)
        client.exit(None)
        await client.stop()
    return seconds[1:]


async def type_again(client: LanguageClient, uri: str, text: str, keys: range) -> list[tuple[float, bool]]:
    first = text[: keys.start]
    client.text_document_did_open(types.DidOpenTextDocumentParams(types.TextDocumentItem(uri, "python", 0, first)))
    line, character = first.count("\n"), len(first) - first.rfind("\n") - 1
    seconds = []
    for version, place in enumerate(keys, start=1):
        here = types.Position(line, character)
        change = types.TextDocumentContentChangePartial(range=types.Range(here, here), text=text[place])
        document = types.VersionedTextDocumentIdentifier(version, uri)
        line, character = (line + 1, 0) if text[place] == "\n" else (line, character + 1)
        params = types.InlineCompletionParams(
            context=types.InlineCompletionContext(types.InlineCompletionTriggerKind.Automatic),
            text_document=types.TextDocumentIdentifier(uri),
            position=types.Position(line, character),
        )
        start = time.perf_counter()
        client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))
        answer = await client.text_document_inline_completion_async(params)
        items = answer.items if isinstance(answer, types.InlineCompletionList) else answer or []
        seconds.append((time.perf_counter() - start, bool(items)))
    return seconds


def through_llamacpp(text: str, keys: range) -> list[tuple[float, bool]]:
    """The same of llama.cpp's own server in this process: the text before the cursor, one line to write."""
    source = load_pretrained(SMOLLM2).source
    assert isinstance(source, GGUFFile)
    model = LlamaCppModel(source.path, num_parallel=1)
    settings = GenerationConfig(max_tokens=LINE_TOKENS, stop=["\n"])
    seconds = []
    for place in keys:
        before = text[max(0, keys.start - CONTEXT_CHARACTERS) : place + 1]
        start = time.perf_counter()
        written = "".join(piece.text for piece in model.stream(model.prompt(before), settings))
        seconds.append((time.perf_counter() - start, bool(written.strip())))
    return seconds


def percentile(values: list[float], share: int) -> float:
    """In milliseconds."""
    if len(values) < 2:
        return float("nan")
    return 1000 * statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def show(name: str, seconds: list[tuple[float, bool]]) -> None:
    """A line of the table."""
    answered = [each for each, found in seconds if found]
    sys.stdout.write(
        f"{name:20} {len(seconds)} keys, suggestions at {len(answered)}:"
        f" p50 {percentile(answered, 50):.0f} ms, p95 {percentile(answered, 95):.0f} ms;"
        f" all keys: p50 {percentile([each for each, _ in seconds], 50):.0f} ms,"
        f" p95 {percentile([each for each, _ in seconds], 95):.0f} ms\n"
    )


if __name__ == "__main__":
    main()
