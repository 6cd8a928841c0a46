"""Recordings written down over HTTP, as OpenAI's client asks for it."""

import io
import os
import zipfile
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest

from generation_scene import language_model
from public_sets import needs_mirror
from serving_scene import picture, running
from tonggan.data.fetch import MIRROR_VARIABLE
from tonggan.modalities.recordings import Recording
from tonggan.models.transcript import TranscriptionConfig
from tonggan.progress import Progress
from tonggan.serving.config import ServerConfig
from tonggan.serving.failures import RefusedError
from tonggan.serving.services import Service, TextService, open_services
from tonggan.serving.speech import Dictation
from transcription_scene import RATE, encoded, tone, transcribing_run
from whisper_scene import need_whisper

SOUND = encoded(np.concatenate([tone("low", seconds=1), tone("high", seconds=1)]))


@pytest.fixture(scope="module")
def server(tmp_path_factory, shared_cache):
    run = transcribing_run(tmp_path_factory.mktemp("runs") / "tones")
    config = ServerConfig(timeout=60, max_seconds=20, max_bytes=2**20)
    services = open_services([str(run)], config=config, progress=Progress())
    services.append(Service("tiny", texts=TextService(language_model(), config=config)))
    with running(services, config=config) as started:
        yield started


def ask(server, **options):
    options = {"file": ("a.wav", SOUND), "model": "tones", **options}
    return server.client().audio.transcriptions.create(**options)


def test_a_run_answers_openais_client_in_every_format(server):
    assert ask(server).text == "low high"
    assert ask(server, response_format="text") == "low high\n"
    assert ask(server, response_format="srt").startswith("1\n00:00:00,000 --> 00:00:01,000\nlow\n\n2\n")
    assert ask(server, response_format="vtt").startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nlow\n")
    verbose = ask(server, response_format="verbose_json", timestamp_granularities=["segment"], temperature=0)
    assert [(segment.start, segment.end, segment.text) for segment in verbose.segments] == [
        (0.0, 1.0, "low"),
        (1.0, 2.0, "high"),
    ]
    assert verbose.duration == 2.0
    assert ask(server, file=io.BytesIO(SOUND)).text == "low high"
    assert 'tonggan_recordings_held{model="tones"} 0.0' in httpx.get(f"{server.url}/metrics", timeout=60).text


def test_without_a_name_the_only_one_that_writes_down_is_meant(server):
    answer = httpx.post(f"{server.url}/v1/audio/transcriptions", files={"file": ("a.wav", SOUND)}, timeout=60)
    assert answer.json()["text"] == "low high"


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"model": "tiny"}, 400, "a model that writes recordings down"),
        ({"model": "other"}, 404, "got 'other', expected one of tones, tiny"),
        ({"language": "zh"}, 400, "got the setting 'language', expected none"),
        ({"temperature": 3}, 400, "temperature"),
        ({"response_format": "yaml"}, 400, "response_format"),
        ({"stream": True}, 400, "stream"),
        ({"timestamp_granularities": ["word"]}, 400, "timestamp_granularities"),
        ({"file": ("a.wav", SOUND[:6_000])}, 400, "Send the whole, undamaged file"),
        ({"file": ("a.wav", b"")}, 400, "bytes that begin with b''"),
        ({"file": ("a.wav", b"hello" * 100)}, 400, "bytes that begin with b'hellohel'"),
        ({"file": ("a.png", picture())}, 400, "got a picture, expected a recording"),
        ({"file": ("a.wav", encoded(np.zeros(21 * RATE, np.float32)))}, 413, "at most 20 s"),
        ({"file": ("a.wav", bytes(2**20 + 1))}, 413, "at most 1,048,576 bytes"),
        ({"extra_body": {"colour": "red"}}, 400, "colour"),
    ],
    ids=lambda value: None if isinstance(value, int) else str(value)[:40],
)
def test_what_cannot_be_answered_is_refused(server, options, status, said):
    with pytest.raises(openai.APIStatusError) as caught:
        ask(server, **options)
    assert caught.value.status_code == status
    assert said in caught.value.response.text


def test_what_is_no_form_is_refused(server):
    address = f"{server.url}/v1/audio/transcriptions"
    assert httpx.post(address, json={"file": "a"}, timeout=60).status_code == 415
    assert "no file" in httpx.post(address, data={"file": "a"}, files={"x": ("x", b"1")}, timeout=60).text
    assert "a file" in httpx.post(address, files={"file": ("a", SOUND), "model": ("x", b"1")}, timeout=60).text
    broken = httpx.post(address, content=b"--x", headers={"content-type": "multipart/form-data"}, timeout=60)
    assert broken.status_code == 400


def test_work_that_nobody_waits_for_ends_after_a_window():
    work = Dictation(Recording(SOUND, sample_rate=RATE), TranscriptionConfig(), max_seconds=20)
    work.update("transcribe", done=49, total=60)
    with pytest.raises(RefusedError, match="at most 20 s"):
        work.update("transcribe", done=51, total=60)
    work.cancel()
    with pytest.raises(RefusedError, match="a client that disconnected"):
        work.update("transcribe", done=1, total=60)


@needs_mirror
@pytest.mark.slow
def test_whisper_is_served():
    need_whisper()
    with zipfile.ZipFile(Path(os.environ[MIRROR_VARIABLE]) / "emodb" / "flac.zip") as file:
        sound = file.read(next(name for name in sorted(file.namelist()) if "03a01" in name))
    config = ServerConfig(timeout=120)
    services = open_services(["whisper-base"], config=config, progress=Progress())
    with running(services, config=config) as server:
        client = server.client()
        found = client.audio.transcriptions.create(
            file=("a.flac", sound), model="whisper-base", response_format="verbose_json", language="de"
        )
        assert found.language == "de"
        assert found.text.startswith("Der Lappen liegt")
        assert 0 < found.segments[0].end <= found.duration
        with pytest.raises(openai.BadRequestError, match="got 'klingon', expected one of af"):
            client.audio.transcriptions.create(file=("a.flac", sound), model="whisper-base", language="klingon")
