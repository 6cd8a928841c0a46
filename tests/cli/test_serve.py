import re
import signal

import httpx
import openai
import pytest

from command_line import assert_named, started, tonggan
from generation_scene import gguf_file


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return gguf_file(tmp_path_factory.mktemp("serve"))


def test_serve_until_interrupted(model, run):
    process = started("serve", model, run, "--port", "0", "--engine", "torch", "--slots", "2")
    try:
        lines = iter(process.stderr.readline, "")
        url = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+/v1", line)))
        client = openai.OpenAI(base_url=url, api_key="none")
        assert [each.id for each in client.models.list()] == ["tiny", run.name]
        assert client.completions.create(model="tiny", prompt="the cat", max_tokens=3).usage.completion_tokens <= 3
        answer = httpx.post(f"{url}/predict", json={"rows": [{"age": 40}]}, timeout=60)
        assert answer.json()["predictions"][0]["prediction"]
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (0, "", "")


def test_what_cannot_be_served(model, tmp_path):
    assert_named(tonggan("serve", tmp_path / "none"), "no such file or folder", code=2)
    assert_named(tonggan("serve", model, "--slots", "0"), "slots = 0", code=2)
    assert_named(tonggan("serve", model, "--api-key-file", tmp_path / "none"), "--api-key-file", code=2)
    (tmp_path / "recipe.yaml").write_text("")
    assert_named(tonggan("serve", tmp_path), "an unfinished run")
