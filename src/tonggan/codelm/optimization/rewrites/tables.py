"""Rows of a pandas table that a loop goes through one by one are read by column."""

from __future__ import annotations

import ast
from collections.abc import Sequence

import libcst as cst

from tonggan.codelm.optimization.facts import bound_in, names_in, text
from tonggan.codelm.optimization.rewriting import Rewrite, Site, replaced


class TableRows(Rewrite):
    """``for _, row in t.iterrows()`` that reads ``row["a"]`` goes over the columns; so does ``t.apply(…, axis=1)``.

    A row of ``iterrows`` makes all of its cells one type; where that shows in the result, the comparison finds it.
    """

    name = "columns"
    _suffix = ""

    def match(self, sites: Sequence[Site], start: int) -> tuple[int, list[cst.BaseStatement]] | None:
        node = sites[start].node
        match sites[start].tree:
            case ast.For(
                ast.Tuple([ast.Name(label), ast.Name(row)]), ast.Call(ast.Attribute(table, "iterrows"), [], []), body
            ) as loop if isinstance(node, cst.For):
                return self._loop(node, loop, label, row, text(table), body)
        return self._applied(sites[start])

    def _loop(
        self, node: cst.For, loop: ast.For, label: str, row: str, table: str, body: list[ast.stmt]
    ) -> tuple[int, list[cst.BaseStatement]] | None:
        columns = _columns(body, row)
        inside = set().union(*(names_in(part) for part in body))
        if not columns or label in inside or row in bound_in(*body) or self.occurs_outside(row, [loop]):
            return None
        if not self.take():
            return None
        names = {column: self.fresh(column if column.isidentifier() else "cell") for column in columns}
        made: cst.BaseStatement = node.with_changes(target=cst.Name("_"), iter=cst.Name("_"))
        for column, name in names.items():
            for source in (
                (f"{row}[{column!r}]", f"{row}.{column}") if column.isidentifier() else (f"{row}[{column!r}]",)
            ):
                made = replaced(made, source, name)
        series = [f"{table}[{column!r}]{self._suffix}" for column in columns]
        target = ", ".join(names.values())
        over = f"zip({', '.join(series)})" if len(series) > 1 else series[0]
        header = cst.parse_statement(f"for {target} in {over}:\n    pass\n")
        assert isinstance(header, cst.For)
        assert isinstance(made, cst.For)
        return 1, [made.with_changes(target=header.target, iter=header.iter)]

    def _applied(self, site: Site) -> tuple[int, list[cst.BaseStatement]] | None:
        if self._suffix or not isinstance(site.tree, ast.Assign | ast.Return | ast.Expr):
            return None
        for each in ast.walk(site.tree):
            match each:
                case ast.Call(
                    ast.Attribute(table, "apply"),
                    [ast.Lambda(ast.arguments(args=[ast.arg(row)]), value)],
                    [ast.keyword("axis", ast.Constant(1))],
                ):
                    pass
                case _:
                    continue
            columns = _columns([ast.Expr(value)], row)
            if not columns or not all(isinstance(part, _ELEMENTWISE) for part in ast.walk(value)) or not self.take():
                return None
            made = text(value)
            for column in columns:
                made = made.replace(f"{row}[{column!r}]", f"{text(table)}[{column!r}]")
            return 1, [replaced(site.node, text(each), f"({made})")]
        return None


class TableArrays(TableRows):
    """The same with the columns as arrays, whose cells keep NumPy's types."""

    name = "columns-numpy"
    _suffix = ".to_numpy()"


_ELEMENTWISE = (
    ast.BinOp, ast.operator, ast.UnaryOp, ast.USub, ast.Constant, ast.Subscript, ast.Name, ast.expr_context,
)  # fmt: skip


def _columns(body: list[ast.stmt], row: str) -> list[str]:
    """The columns that are read; none where the row has other uses."""
    found: dict[str, None] = {}
    num_read = 0
    for each in (inner for part in body for inner in ast.walk(part)):
        match each:
            case ast.Subscript(ast.Name(name), ast.Constant(str(column)), ast.Load()) if name == row:
                found[column] = None
                num_read += 1
    return list(found) if num_read == sum(names_in(part)[row] for part in body) else []
