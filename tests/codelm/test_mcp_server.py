"""The server, asked over stdio by the client of package mcp."""

import asyncio
import json
import sys
import time

import pytest

import forked

for package in ("mcp", "tantivy", "tree_sitter_language_pack"):
    pytest.importorskip(package)

SOURCE = 'def parse_date(text):\n    """Read a moment."""\n    return 1\n\n\ndef read_date(text):\n    return 1\n'


@pytest.fixture
def repository(tmp_path):
    root = tmp_path / "repository"
    root.mkdir()
    (root / "dates.py").write_text(SOURCE)
    return root


def test_a_real_client_searches_over_stdio(repository, tmp_path):
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    from tonggan.codelm.search.opening import open_index

    drift = 'def f(a, b=3):\n    """F.\n\n    Args:\n        a: one.\n        b: two. Default: 4.\n    """\n'
    (repository / "drift.py").write_text(drift)
    index = tmp_path / "index"
    open_index(repository, folder=index, embedder="none").refresh()
    arguments = ["-m", "tonggan", "code", "mcp", "--root", str(repository), "--index", str(index)]

    def rename():
        repository.rename(tmp_path / "elsewhere")

    async def talk():
        server = StdioServerParameters(command=sys.executable, args=arguments)
        async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            tools = await session.list_tools()

            async def call(name, /, **values):
                result = await session.call_tool(name, values)
                return result.is_error, result.content[0].text

            return {
                "tools": sorted(tool.name for tool in tools.tools),
                "search": await call("search_code", query="parse a date", kinds=["function"]),
                "symbol": await call("find_symbol", name="readDate"),
                "similar": await call("similar_code", path="dates.py", line=1),
                "read": await call("read_unit", path="dates.py", line=2),
                "review": await call("review_code", path="drift.py"),
                "outside": await call("review_code", path="../.."),
                "wrong": await call("read_unit", path="nowhere.py", line=2),
                "gone": await (rename(), call("find_symbol", name="readDate"))[1],
            }

    answers = asyncio.run(asyncio.wait_for(talk(), 60))
    assert answers["tools"] == ["find_symbol", "read_unit", "review_code", "search_code", "similar_code"]
    found = {name: json.loads(answers[name][1]) for name in ("search", "symbol", "similar", "read")}
    assert found["search"]["hits"][0]["name"] == "parse_date"
    assert "is named parse_date" in found["search"]["hits"][0]["reasons"]
    assert [unit["name"] for unit in found["symbol"]["units"]] == ["read_date"]
    assert found["similar"]["hits"][0]["name"] == "read_date"
    assert found["read"]["text"] == SOURCE.split("\n\n\n")[0]
    review = json.loads(answers["review"][1])
    assert [each["message"] for each in review["findings"]] == ["'b' is said to default to 4, but f has 3"]
    assert answers["outside"][0]
    assert "a place outside" in answers["outside"][1]
    is_error, message = answers["wrong"]
    assert is_error
    assert "no unit of the index there" in message
    is_error, message = answers["gone"]
    assert is_error
    assert "no such folder" in message


@pytest.mark.parametrize("command", ["mcp", "lsp"])
@pytest.mark.parametrize("seconds", [0, 3])
def test_a_client_that_is_gone_ends_the_server_while_it_works(tmp_path, monkeypatch, command, seconds):
    """It ends with 0 and quietly, in the middle of an index and of a call."""
    monkeypatch.setenv("TONGGAN_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "large"
    root.mkdir()
    for number in range(1500):
        (root / f"f{number}.py").write_text(SOURCE.replace("date", f"date_{number}"))
    line = [sys.executable, "-m", "tonggan", "code", command, *(["--root", str(root)] if command == "mcp" else [])]
    with forked.Process(line, cwd=root, stdin=forked.PIPE, stderr=forked.PIPE) as server:
        client = {"protocolVersion": "2025-03-26", "clientInfo": {"name": "a", "version": "1"}}
        opening = {"processId": None, "rootUri": root.as_uri(), "capabilities": {}, **client}
        requests = [
            {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": opening},
            {
                "jsonrpc": "2.0",
                "method": "initialized" if command == "lsp" else "notifications/initialized",
                "params": {},
            },
        ]
        if command == "mcp":
            call = {"name": "search_code", "arguments": {"query": "parse a date"}}
            requests.append({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call})
        for request in requests:
            body = json.dumps(request).encode()
            head = b"Content-Length: %d\r\n\r\n" % len(body) if command == "lsp" else b""
            server.stdin.buffer.write(head + body + b"\n" * (command == "mcp"))
            server.stdin.flush()
            if request is requests[0]:
                assert server.stdout.readline()
        time.sleep(seconds)
        server.stdin.close()
        said = server.stderr.read()
        assert server.wait() == 0, said
        assert said == ""
