"""The server, asked over stdio by the client of package mcp."""

import asyncio
import json
import sys

import pytest

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
                "wrong": await call("read_unit", path="nowhere.py", line=2),
                "gone": await (rename(), call("find_symbol", name="readDate"))[1],
            }

    answers = asyncio.run(asyncio.wait_for(talk(), 60))
    assert answers["tools"] == ["find_symbol", "read_unit", "search_code", "similar_code"]
    found = {name: json.loads(answers[name][1]) for name in ("search", "symbol", "similar", "read")}
    assert found["search"]["hits"][0]["name"] == "parse_date"
    assert "is named parse_date" in found["search"]["hits"][0]["reasons"]
    assert [unit["name"] for unit in found["symbol"]["units"]] == ["read_date"]
    assert [hit["name"] for hit in found["similar"]["hits"]] == ["read_date"]
    assert found["read"]["text"] == SOURCE.split("\n\n\n")[0]
    is_error, message = answers["wrong"]
    assert is_error
    assert "no unit of the index there" in message
    is_error, message = answers["gone"]
    assert is_error
    assert "no such folder" in message
