"""Texts spoken over HTTP, as OpenAI's client asks for it."""

import io

import httpx
import openai
import pytest
import soundfile

from generation_scene import language_model
from serving_scene import running
from tonggan.progress import Progress
from tonggan.serving.config import ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.serving.services import Service, TextService, open_services
from tonggan.serving.voice import SpeechRequest, Utterance
from voice_scene import need_voice


@pytest.fixture(scope="module")
def server():
    need_voice()
    config = ServerConfig(timeout=60)
    services = open_services(["hibari"], config=config, progress=Progress())
    services.append(Service("tiny", texts=TextService(language_model(), config=config)))
    with running(services, config=config) as started:
        yield started


def ask(server, **options):
    options = {"input": "Good morning.", "model": "hibari", "voice": "heart", **options}
    return server.client().audio.speech.create(**options)


def test_openais_client_hears_every_format(server, tmp_path):
    ask(server).write_to_file(tmp_path / "a.mp3")
    assert soundfile.info(tmp_path / "a.mp3").format == "MP3"
    for form, kind in (("opus", "OGG"), ("flac", "FLAC"), ("wav", "WAV")):
        answer = ask(server, response_format=form, instructions="", extra_body={"stream_format": "audio"})
        assert answer.response.headers["content-type"] == f"audio/{form}"
        assert soundfile.info(io.BytesIO(answer.content)).format == kind
    bare, whole = (ask(server, response_format=form).content for form in ("pcm", "wav"))
    assert whole[-len(bare) :] == bare
    assert len(ask(server, response_format="pcm", speed=2).content) < 0.7 * len(bare)
    with server.client().audio.speech.with_streaming_response.create(
        input="Good morning.", model="hibari", voice="heart", response_format="pcm"
    ) as streamed:
        assert streamed.read() == bare
    assert 'tonggan_speeches_held{model="hibari"} 0.0' in httpx.get(f"{server.url}/metrics", timeout=60).text


def test_without_names_the_only_voice_is_meant(server):
    answer = httpx.post(f"{server.url}/v1/audio/speech", json={"input": "Hello."}, timeout=60)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/mpeg")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"model": "tiny"}, 400, "a model that speaks texts"),
        ({"model": "other"}, 404, "expected one of hibari, tiny"),
        ({"voice": "alloy"}, 400, "heart"),
        ({"input": "你好"}, 400, "'你' at character 1"),
        ({"input": ""}, 400, "input"),
        ({"input": "a " * 2_049}, 400, "4096"),
        ({"response_format": "aac"}, 400, "response_format"),
        ({"speed": 4}, 400, "speed"),
        ({"instructions": "Sing it."}, 400, "instructions"),
        ({"stream_format": "sse"}, 400, "stream_format"),
    ],
    ids=lambda value: None if isinstance(value, int) else str(value)[:40],
)
def test_what_cannot_be_answered_is_refused(server, options, status, said):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(server, **options)
    assert caught.value.status_code == status
    assert said in caught.value.response.text


def test_work_that_nobody_waits_for_ends_before_the_next_sentence():
    work = Utterance(SpeechRequest(input="Hello."))
    work.update("speak", done=0, total=2)
    work.cancel()
    with pytest.raises(RefusedError, match="a client that disconnected"):
        work.update("speak", done=1, total=2)
