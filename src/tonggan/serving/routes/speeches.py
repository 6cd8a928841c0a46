"""``POST /v1/audio/speech``: a text as speech."""

import asyncio
from typing import TYPE_CHECKING, Any

from tonggan.serving.context import Context, unless_left
from tonggan.serving.description import sound_operation
from tonggan.serving.metrics import CANCEL
from tonggan.serving.voice import SpeechRequest, Utterance

if TYPE_CHECKING:
    from fastapi import FastAPI

_MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/opus",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request, Response

    @app.post("/v1/audio/speech", openapi_extra=sound_operation(SpeechRequest, _MEDIA_TYPES.values()))
    async def speech(request: Request) -> Any:
        """Speak a text."""
        body = await context.body(request, SpeechRequest)
        service = context.voice(body.model)
        service.jobs.require_room(1)
        job = await asyncio.to_thread(Utterance, body)
        request.scope[CANCEL] = job.cancel
        [spoken] = await unless_left(request, context.result(service.jobs.submit([job])))
        content = await asyncio.to_thread(spoken.encoded, body.response_format)
        return Response(content, media_type=_MEDIA_TYPES[body.response_format])
