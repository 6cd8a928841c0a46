"""``/v1/recommend`` of a real server: what Python answers, and what is refused."""

from __future__ import annotations

import httpx
import pytest

import recommendation_scene
import tonggan
from serving_scene import running
from tonggan.progress import Progress
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import open_services

SETTINGS = {"members.two_towers": None, "items.title": {"kind": "category"}}  # no network, no frozen encoder


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(folder / "cache"))
        likes, films = recommendation_scene.write(folder)
        recommender = tonggan.fit_recommender(likes, items=films, out=folder / "films", settings=SETTINGS)
    config = ServerConfig(timeout=60)
    with running(open_services([str(folder / "films")], config=config, progress=Progress()), config=config) as server:
        yield server, recommender


def ask(served, **body):
    return httpx.post(f"{served[0].url}/v1/recommend", json=body, timeout=60)


def test_answers_are_those_of_python(served) -> None:
    _, recommender = served
    found = ask(served, user="u4", k=3).json()
    assert (found["object"], found["model"]) == ("list", "films")
    assert found["recommendations"] == [each.to_dict() for each in recommender.recommend("u4", k=3)]
    assert found["recommendations"][0]["because"]
    asked = ask(served, likes=[1, "5"], few_likes=True, k=2, model="films").json()["recommendations"]
    assert asked == [each.to_dict() for each in recommender.recommend(likes=[1, 5], k=2, few_likes=True)]
    alike = ask(served, similar=2, k=2).json()["recommendations"]
    assert alike == [each.to_dict() for each in recommender.similar(2, k=2)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "exactly one of user, likes and similar"),
        ({"user": "u4", "similar": 2}, "exactly one of user, likes and similar"),
        ({"user": "nobody"}, "an id that the run does not know"),
        ({"user": "u4", "k": 0}, "k"),
        ({"user": "u4", "limit": 3}, "limit"),
    ],
)
def test_what_cannot_be_answered_is_refused(served, body, said) -> None:
    answer = ask(served, **body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def test_other_routes_name_this_one_and_the_server_has_its_usual_ones(served) -> None:
    server, _ = served
    answer = httpx.post(f"{server.url}/v1/predict", json={"rows": [{}], "model": "films"}, timeout=60)
    assert "use /v1/recommend" in answer.json()["error"]["message"]
    assert httpx.get(f"{server.url}/health", timeout=60).json() == {"status": "ok"}
    assert "/v1/recommend" in httpx.get(f"{server.url}/openapi.json", timeout=60).json()["paths"]
    assert any("/v1/recommend" in name for name in server.metrics())
