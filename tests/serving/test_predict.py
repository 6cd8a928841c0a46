import base64
import io
import json
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
import soundfile

import tonggan
from command_line import make_rows
from doc_examples import blocks_of
from generation_scene import language_model
from serving_scene import data_url, picture, recording, running
from tonggan.serving.config import ServerConfig
from tonggan.serving.services import RowService, Service, TextService

PAGE = Path(__file__).parents[2] / "docs" / "serve.md"
SETTINGS = ["floor=null", "training.epochs=1", "training.batch_size=16", "model.dim=16", "audit_alone=false"]


@pytest.fixture(scope="module")
def run(tmp_path_factory, shared_cache):
    folder = tmp_path_factory.mktemp("data")
    names = {"image": "photo", "sound": "sound", "text": "title", "age": "price", "label": "label"}
    rows = [{names[name]: cell for name, cell in row.items()} for row in make_rows(folder, 48)]
    table = folder / "train.jsonl"
    table.write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TONGGAN_CACHE", str(shared_cache))
        return tonggan.fit(table, target="label", out=folder / "run", settings=SETTINGS), folder


@pytest.fixture(scope="module")
def config():
    return ServerConfig(max_pixels=10_000, max_seconds=2, max_bytes=100_000, timeout=60)


@pytest.fixture(scope="module")
def server(run, config):
    predictor, _ = run
    with running([Service("first", rows=RowService(predictor.bundle, config=config))], config=config) as started:
        yield started


@pytest.fixture
def predict(server):
    return lambda *rows, **more: httpx.post(f"{server.url}/v1/predict", json={"rows": rows, **more}, timeout=60)


def row(folder, number):
    files = {"photo": (folder / f"{number}.png", "image/png"), "sound": (folder / f"{number}.wav", "audio/wav")}
    return {name: data_url(path.read_bytes(), kind) for name, (path, kind) in files.items()}


def test_rows_as_json(run, predict, monkeypatch, shared_cache):
    predictor, folder = run
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))
    texts = [{"title": f"a dark picture {number}", "price": 30 + number} for number in range(5)]
    answer = predict(*({**row(folder, number), **texts[number]} for number in range(5)), model="first").json()
    raw = [
        {"photo": (folder / f"{n}.png").read_bytes(), "sound": (folder / f"{n}.wav").read_bytes(), **texts[n]}
        for n in range(5)
    ]
    assert [each["prediction"] for each in answer["predictions"]] == predictor.predict(raw)
    given = [[each["probabilities"][name] for name in predictor.labels] for each in answer["predictions"]]
    np.testing.assert_allclose(given, predictor.predict_proba(raw), rtol=1e-4, atol=1e-5)
    assert answer["model"] == "first"


def test_what_is_left_out_is_absent(predict):
    same = [
        predict(cells).json()["predictions"] for cells in ({"price": 40}, {"price": "40", "photo": None, "title": ""})
    ]
    assert same[0] == same[1]


def test_what_differs_from_the_training_table_is_told(run, predict, monkeypatch, shared_cache):
    _predictor, folder = run
    usual = {**row(folder, 0), "title": "the one picture of something", "price": 40}
    assert predict(usual, usual).json()["findings"] == []
    cells = {"photo": data_url(picture(mode="L")), "sound": data_url(recording(rate=16_000)), "title": "快递来得太晚了"}
    findings = predict({**cells, "price": 4000}, {**cells, "price": -4000}).json()["findings"]
    told = {(finding["column"], finding["message"].split(" in the request ")[1].split(",")[0]) for finding in findings}
    assert told == {
        ("photo", "have another color than in training"),
        ("sound", "have another sample rate than in training"),
        ("title", "are in another language than in training (Chinese)"),
        ("price", "lie far outside the range of training"),
    }
    assert {finding["count"] for finding in findings} == {2}
    assert all("请求" in finding["message_zh"] for finding in findings)


def test_a_form_with_files(run, server, predict):
    _, folder = run
    files = {"photo": ("a.png", (folder / "0.png").read_bytes()), "sound": ("a.wav", (folder / "0.wav").read_bytes())}
    answer = httpx.post(f"{server.url}/v1/predict", data={"price": "40", "model": "first"}, files=files, timeout=60)
    assert answer.json() == predict({**row(folder, 0), "price": 40}).json()


def test_embeddings_of_rows_pictures_and_recordings(run, server, monkeypatch, shared_cache):
    predictor, folder = run
    monkeypatch.setenv("TONGGAN_CACHE", str(shared_cache))
    client = server.client()
    cells = row(folder, 0)
    rows = [cells["photo"], cells["sound"], "a dark picture", {"price": 40, "title": "a dark picture"}]
    answer = client.embeddings.create(model="first", input=rows)
    empty = {"photo": None, "sound": None, "title": None, "price": None}
    raw = [
        {**empty, "photo": (folder / "0.png").read_bytes()},
        {**empty, "sound": (folder / "0.wav").read_bytes()},
        {**empty, "title": "a dark picture"},
        {**empty, "title": "a dark picture", "price": 40},
    ]
    expected = [predictor.embed([each])[0] for each in raw]
    np.testing.assert_allclose([each.embedding for each in answer.data], expected, rtol=1e-4, atol=1e-5)


def test_a_classifier_does_not_chat(server):
    with pytest.raises(openai.BadRequestError, match="expected a model that writes texts"):
        server.client().chat.completions.create(model="first", messages=[{"role": "user", "content": "hello"}])
    with pytest.raises(openai.BadRequestError, match="This model predicts: use /v1/predict"):
        server.client().completions.create(model="first", prompt="hello")


def test_models_tell_their_columns(server):
    (model,) = server.client().models.list()
    assert model.id == server.client().models.retrieve("first").id == "first"
    assert model.columns == {"photo": "image", "sound": "audio", "title": "text", "price": "number"}


def garbled(raw):
    return raw[: len(raw) // 2]


@pytest.mark.parametrize(
    ("cells", "status", "message"),
    [
        ({"photo": "https://example.com/cat.png"}, 400, "fetches no address and opens no path"),
        ({"photo": "0.png"}, 400, "fetches no address and opens no path"),
        ({"photo": data_url(garbled(picture()))}, 400, "rows[0].photo: got damaged or truncated bytes"),
        ({"photo": data_url(picture(side=101))}, 413, "got 10,201 pixels, expected at most 10,000 pixels"),
        ({"sound": data_url(recording(seconds=2.5))}, 413, "got 2.5 s, expected at most 2 s"),
        ({"sound": data_url(picture())}, 400, "got a file of kind image, expected one of kind audio"),
        ({"photo": 3}, 400, "expected a cell of kind image"),
        ({"price": "young"}, 400, "got 'young', expected a cell of kind number"),
        ({"title": 3}, 400, "expected a cell of kind text"),
        ({"prise": 3}, 400, "got a column 'prise', expected the columns photo (image), sound (audio)"),
        ({}, 400, "got an empty row"),
        ({"title": "a" * 200_000}, 413, "at most 100,000 bytes"),
    ],
)
def test_bad_rows(predict, cells, status, message):
    answer = predict(cells)
    assert answer.status_code == status
    assert message in answer.json()["error"]["message"]


def test_all_files_of_a_request_are_measured_before_one_is_decoded(predict, monkeypatch):
    decoded = []
    monkeypatch.setattr("tonggan.modalities.image.Image.decode", lambda *_: decoded.append(1))
    answer = predict(*[{"photo": data_url(picture(side=100))}] * 9)  # each has all the pixels that one may have
    assert (answer.status_code, decoded) == (413, [])
    assert "expected at most 80,000 in all pictures of a request" in answer.json()["error"]["message"]


def test_a_recording_of_many_channels_or_samples(predict):
    file = io.BytesIO()
    soundfile.write(file, np.zeros((150_000, 8), dtype=np.int16), 100_000, format="FLAC")
    answer = predict({"sound": data_url(file.getvalue(), "audio/flac")})
    assert (answer.status_code, "1,200,000 samples in all channels" in answer.text) == (413, True)


@pytest.mark.parametrize("price", [10**400, "1" * 400, [1], {"a": 1}])
def test_cells_that_are_no_number(predict, price):
    answer = predict({"price": price})
    assert (answer.status_code, "expected a cell of kind number" in answer.text) == (400, True)


def test_a_number_in_another_writing_is_read_where_it_is_sure(predict):
    usual, other = (predict({"price": price}).json()["predictions"] for price in (3.5, "3,5"))
    assert usual == other


def test_no_name_is_the_only_model_that_can(run, config):
    predictor, _ = run
    services = [Service(name, rows=RowService(predictor.bundle, config=config)) for name in ("first", "second")]
    services.append(Service("tiny", texts=TextService(language_model(), config=config)))
    hello = {"messages": [{"role": "user", "content": "the cat"}], "max_tokens": 2}
    with running(services, config=config) as server:
        for name in ({}, {"model": ""}, {"model": None}):
            chat = httpx.post(f"{server.url}/v1/chat/completions", json={**hello, **name}, timeout=60)
            assert (chat.status_code, chat.json()["model"]) == (200, "tiny")
            rows = httpx.post(f"{server.url}/v1/predict", json={"rows": [{"price": 3}], **name}, timeout=60)
            assert (rows.status_code, rows.json()["error"]["code"]) == (400, "model_not_found")
            assert "expected one of first, second" in rows.json()["error"]["message"]
            every = httpx.post(f"{server.url}/v1/embeddings", json={"input": "a", **name}, timeout=60)
            assert "expected one of first, second, tiny" in every.json()["error"]["message"]


def test_bad_requests(server, predict):
    assert predict().json()["error"]["param"] == "rows"
    assert predict({"price": 3}, model="dogs").status_code == 404
    wrong = httpx.post(f"{server.url}/v1/predict", content=b"a,b", timeout=60)
    assert (wrong.status_code, "multipart/form-data" in wrong.text) == (415, True)
    twice = httpx.post(f"{server.url}/v1/predict", files=[("price", (None, "3")), ("price", (None, "4"))], timeout=60)
    assert "got the field 'price' twice" in twice.json()["error"]["message"]


def test_nothing_of_a_request_stays_on_the_disk(predict, shared_cache):
    before = sorted(shared_cache.rglob("*"))
    secret = picture(color=(1, 2, 3))
    assert predict({"photo": data_url(secret)}).status_code == 200
    assert sorted(shared_cache.rglob("*")) == before
    assert base64.b64encode(secret) not in b"".join(path.read_bytes() for path in before if path.is_file())


def test_the_page_on_serving_works_as_it_stands(run, server, monkeypatch, tmp_path, capsys):
    block = next(each for each in blocks_of(PAGE) if each.note == "file: predict.py")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0000.jpg").write_bytes(picture())
    monkeypatch.chdir(tmp_path)
    exec(compile(block.text.replace("http://127.0.0.1:8000", server.url), str(PAGE), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] in ("cat", "dog") for line in lines] == [True] * 3
