import ast
import inspect
import json.decoder
import textwrap

import pytest

from tonggan.codelm.review.learned.code_graph import EDGE_KINDS, CodeGraph

TEXT = """def f(rows, limit=2):
    total = 0  # so far
    for row in rows:
        if row > limit:
            total += row
    return total
"""


def edges(graph, kind):
    return [
        (graph.tokens[start].text, int(start), graph.tokens[end].text, int(end))
        for start, end, number in graph.edges
        if EDGE_KINDS[number] == kind
    ]


def test_tokens_are_those_of_the_source_without_comments():
    graph = CodeGraph(TEXT)
    words = [token.text for token in graph.tokens]
    assert "# so far" not in words
    assert words[:8] == ["def", "f", "(", "rows", ",", "limit", "=", "2"]
    assert all(TEXT[token.start : token.end] == token.text for token in graph.tokens if token.text[0] != "<")


def test_edges_say_what_depends_on_what():
    graph = CodeGraph(TEXT)
    assert [(read, write) for read, _, write, _ in edges(graph, "computed_from")] == [("row", "rows"), ("total", "row")]
    written = {(name, place): set() for name, place, _, _ in edges(graph, "last_write")}
    for name, place, _, write in edges(graph, "last_write"):
        written[name, place].add(graph.text.count("\n", 0, graph.tokens[write].start) + 1)
    last = max(place for name, place in written if name == "total")
    assert written["total", last] == {2, 5}
    uses = edges(graph, "last_use")
    assert all(one == other and start > end for one, start, other, end in uses)


@pytest.mark.parametrize(
    ("text", "words"),
    [("parseHTTPDate", ("parse", "http", "date")), ("_first_name2", ("first", "name", "2")), ("<=", ("<=",))],
)
def test_names_are_read_by_their_parts(text, words):
    source = f"def f(a):\n    return a {text} 1" if text == "<=" else f"def f({text}):\n    return 1"
    assert next(token for token in CodeGraph(source).tokens if token.text == text).words == words


def test_the_functions_of_a_module_of_python_are_all_read():
    module = ast.parse(inspect.getsource(json.decoder))
    lines = inspect.getsource(json.decoder).splitlines(keepends=True)
    functions = [node for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    for node in functions:
        graph = CodeGraph(textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno])))
        assert len(graph.edges) > len(graph.tokens) // 2
        assert graph.edges[:, :2].max() < len(graph.tokens)


def test_names_in_texts_stand_where_the_text_is():
    graph = CodeGraph('def f(a, b):\n    return f"{a:>{b}} and {a[0]}"')
    text = next(place for place, token in enumerate(graph.tokens) if token.text.startswith('f"'))
    assert {write for read, place, write, _ in edges(graph, "last_write") if place == text} == {"a", "b"}


@pytest.mark.parametrize("text", ["a = 1", "def f(", "def f(): pass\ndef g(): pass", ""])
def test_what_is_no_function_is_refused(text):
    with pytest.raises(SyntaxError):
        CodeGraph(text)
