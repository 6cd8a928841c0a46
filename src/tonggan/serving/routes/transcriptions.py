"""``POST /v1/audio/transcriptions``: a recording as text, sent as a form with its file."""

import asyncio
from typing import TYPE_CHECKING, Any

from tonggan.errors import ConfigError
from tonggan.models.transcript import Transcript, TranscriptionConfig
from tonggan.serving.bodies import validated
from tonggan.serving.config import ServerConfig
from tonggan.serving.context import Context, json_response, unless_left
from tonggan.serving.description import form_operation
from tonggan.serving.failures import RefusedError
from tonggan.serving.forms import read_form
from tonggan.serving.media import MediaLimits
from tonggan.serving.metrics import CANCEL
from tonggan.serving.requests import TranscriptionRequest
from tonggan.serving.speech import Dictation, SpeechService

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request, Response

    @app.post("/v1/audio/transcriptions", openapi_extra=form_operation(TranscriptionRequest, "Transcription"))
    async def transcriptions(request: Request) -> Any:
        """Write a recording down."""
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise RefusedError(
                "request", got="no form", expected="multipart/form-data with the recording as 'file'",
                remedy="Send the file as OpenAI's client does: audio.transcriptions.create", status=415,
            )  # fmt: skip
        body, raw = await asyncio.to_thread(_read, request.headers, await request.body())
        service = context.speech(body.model)
        service.jobs.require_room(1)
        job = await context.decode(_prepared, service, raw, body, context.config)
        request.scope[CANCEL] = job.cancel
        [transcript] = await unless_left(request, context.result(service.jobs.submit([job])))
        if body.response_format in ("json", "verbose_json"):
            return await json_response(_as_json(transcript, body))
        text = {"srt": transcript.to_srt, "vtt": transcript.to_vtt}.get(body.response_format)
        return Response(text() if text else transcript.text + "\n", media_type="text/plain; charset=utf-8")


def _read(headers: Any, body: bytes) -> tuple[TranscriptionRequest, bytes]:
    """What is asked for, and the file.

    Raises:
        RefusedError: no such form, no file, or parameters that are not supported.
    """
    fields = read_form(headers, body)
    file = fields.pop("file", None)
    if not isinstance(file, bytes):
        raise RefusedError(
            "file", got="no file", expected="a recording (WAV, FLAC, Ogg, MP3, AIFF)",
            remedy="Send it as the file of the field 'file'", param="file",
        )  # fmt: skip
    another = next((name for name, value in fields.items() if isinstance(value, bytes)), None)
    if another is not None:
        raise RefusedError(
            another, got="a file", expected="a text", remedy="Send one file, as the field 'file'", param=another
        )
    return validated(fields, TranscriptionRequest), file


def _prepared(service: SpeechService, raw: bytes, body: TranscriptionRequest, config: ServerConfig) -> Dictation:
    """The work, its recording within the limits of the server.

    Raises:
        RefusedError: too long, unreadable, or asked for what the model cannot do.
    """
    settings = TranscriptionConfig(language=body.language, prompt=body.prompt, temperature=body.temperature)
    try:
        service.transcriber.check(settings)
    except ConfigError as error:
        param = next((name for name in ("language", "prompt") if getattr(body, name) is not None), None)
        raise RefusedError(
            error.who, got=error.got, expected=error.expected, remedy=error.remedy, param=param
        ) from error
    if MediaLimits(config).check(raw, param="file") != "audio":
        raise RefusedError(
            "file", got="a picture", expected="a recording", remedy="Send a recording", param="file"
        )  # fmt: skip
    return Dictation.of(raw, settings, sample_rate=service.transcriber.sample_rate, max_seconds=config.max_seconds)


def _as_json(transcript: Transcript, body: TranscriptionRequest) -> dict[str, Any]:
    usage = {"type": "duration", "seconds": round(transcript.duration)}
    if body.response_format == "json":
        return {"text": transcript.text, "usage": usage}
    told = transcript.to_dict()
    return {"task": "transcribe", **told, "language": told["language"] or "", "usage": usage}
