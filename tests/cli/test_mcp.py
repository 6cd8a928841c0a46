"""Rows of an index, asked for over stdio by the client of package mcp."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

import command_line
import tonggan
from space_scene import color_table
from tonggan.weights import CATALOGUE

for package in ("mcp", "faiss", "tantivy"):
    pytest.importorskip(package)


@pytest.mark.skipif(not CATALOGUE["minilm"].is_installed, reason="the weights minilm are not installed")
def test_a_real_client_finds_rows_over_stdio(tmp_path: Path) -> None:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    tonggan.index("minilm", color_table(tmp_path), out=tmp_path / "index")

    async def talk():
        server = StdioServerParameters(command=sys.executable, args=["-m", "tonggan", "mcp", str(tmp_path / "index")])
        async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
            started = await session.initialize()
            tools = await session.list_tools()

            async def call(name, /, **values):
                result = await session.call_tool(name, values)
                return result.is_error, result.content[0].text

            found = await call("search_rows", text="dark red", where=["blue < 100"], limit=2)
            key = json.loads(found[1])["hits"][0]["key"]
            return {
                "instructions": started.instructions,
                "tools": sorted(tool.name for tool in tools.tools),
                "found": found,
                "similar": await call("similar_rows", key=key, limit=1),
                "wrong": await call("search_rows", text="red", where=["size > 3"]),
                "none": await call("search_rows", image=str(tmp_path / "no.png")),
            }

    told = asyncio.run(asyncio.wait_for(talk(), 60))
    assert "40 rows with name, red, green, blue" in told["instructions"]
    assert told["tools"] == ["search_rows", "similar_rows"]
    hits = json.loads(told["found"][1])["hits"]
    assert hits[0]["row"]["name"] == "dark red"
    assert all(hit["row"]["blue"] < 100 for hit in hits)
    assert json.loads(told["similar"][1])["hits"][0]["row"]["name"] != "dark red"
    assert told["wrong"][0]
    assert "no column 'size'" in told["wrong"][1]
    assert told["none"][0]
    assert "No such file" in told["none"][1]


def test_a_folder_without_an_index_is_named(tmp_path: Path) -> None:
    told = command_line.tonggan("mcp", tmp_path)
    assert told.code == 1
    assert "tonggan index" in told.err
