"""The description of the server, held against the server by schemathesis, and read by the page at /docs."""

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from generation_scene import language_model
from serving_scene import serving

SECONDS = 25  # it makes requests until then, at first the ones at the edges of what is allowed


@pytest.fixture(scope="module")
def server():
    with serving(language_model(max_length=128), timeout=60) as running:
        yield running


@pytest.mark.slow
def test_requests_made_from_the_description_are_answered_as_it_says(server, tmp_path):
    config = Path(__file__).parents[2] / "schemathesis.toml"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run"]
    limits = ["--max-time", str(SECONDS), "--max-examples", "10", "--seed", "1", "--request-timeout", "30"]
    done = subprocess.run(
        [*command, f"{server.url}/openapi.json", *limits, "--no-color"],
        capture_output=True, text=True, cwd=tmp_path, timeout=6 * SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"Tested: +13\b", done.stdout), done.stdout[-3000:]


def test_every_route_describes_its_answers(server):
    document = httpx.get(f"{server.url}/openapi.json", timeout=60).json()
    posts = [each for path in document["paths"].values() for method, each in path.items() if method == "post"]
    assert len(posts) == 9
    for each in posts:
        assert {"400", "401", "404", "408", "413", "415", "421", "429", "503", "504"} <= set(each["responses"])
    assert list(document["paths"]["/metrics"]["get"]["responses"]["200"]["content"]) == ["text/plain"]
    names = set(re.findall(r"#/components/schemas/(\w+)", httpx.get(f"{server.url}/openapi.json", timeout=60).text))
    assert names <= set(document["components"]["schemas"])


def test_the_page_loads_nothing_from_elsewhere():
    with serving(language_model(), keys=["key"]) as server:
        page = httpx.get(f"{server.url}/docs", timeout=60)  # a browser sends no key by itself
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert not re.search(r"https?://|(src|href)=\"(?!data:,|/openapi\.json)", page.text)
        assert httpx.get(f"{server.url}/openapi.json", timeout=60).status_code == 401
