"""What the page on extending shows, carried out in a project that has its files: page, tests and shop are arguments."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import httpx
import pytest
from test_examples import enter

import tonggan
from doc_examples import blocks_of, commands_of, run_command, run_python, shows
from serving_scene import running
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import RowService, Service


def main(page: Path, tests: Path, shop: Path) -> None:
    """Run the tests of the page's parts, its commands, and the server on its run."""
    code = pytest.main(["-q", "--disable-plugin-autoload", "-p", "no:cacheprovider", str(tests)])
    assert code == 0, code
    with pytest.MonkeyPatch.context() as patch:
        enter(shop, patch, cache=shop.parent / "cache")
        carry_out(page)
        use(shop)


def carry_out(page: Path) -> None:
    """The commands and the program of the page, and what it shows of their output."""
    printed = ""
    for block in blocks_of(page):
        if block.language == "bash":
            printed = "".join(map(run_command, commands_of(block.text)))
        elif block.language == "python" and not block.note:
            run_python(block.text, page=page.name)
        elif block.language == "text":
            line = shows(block.text, printed)
            assert line is None, f"the page shows a line that is not printed: {line}\n\n{printed}"


def use(shop: Path) -> None:
    """The run with a modality and a task of the page: its report, its predictions, and what the server says."""
    with (shop / "orders.csv").open(newline="", encoding="utf-8") as file:
        predicted = [row["prediction"] for row in csv.DictReader(file)]
    assert len(predicted) == 300
    assert {len(order.split(" > ")) for order in predicted} == {3}
    report = (shop / "runs" / "orders" / "report.html").read_text(encoding="utf-8")
    assert "kendall_tau" in report
    assert "颜色" in report
    predictor = tonggan.load(shop / "runs" / "orders")
    assert predictor.results["inputs"] == {"tint": "color", "table": "table"}
    assert len(predictor.results["subsets"]) == 4
    config = ServerConfig()
    service = Service("orders", rows=RowService(predictor.bundle, config=config))
    with running([service], config=config) as server:
        url = f"{server.url}/v1/predict"
        answer = httpx.post(url, json={"rows": [{"tint": "#ffffff", "price": 50}, {"tint": "#101010"}]}, timeout=60)
        assert answer.status_code == 200, answer.text
        first, second = answer.json()["predictions"]
        assert sorted(first["prediction"]) == sorted(second["prediction"]) == ["beach", "office", "trail"]
        refused = httpx.post(url, json={"rows": [{"tint": "red"}]}, timeout=60)
        assert refused.status_code == 400
        assert "a cell of kind color" in refused.text


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
