"""``POST /v1/recommend``: items for a user, for who likes some items, or like another one, with the reason."""

from typing import TYPE_CHECKING, Any

from tonggan.recommendation.recommender import Recommender
from tonggan.serving.context import Context, json_response
from tonggan.serving.description import operation
from tonggan.serving.requests import RecommendRequest

if TYPE_CHECKING:
    from fastapi import FastAPI


def register(app: "FastAPI", context: Context) -> None:
    """Add the route to ``app``."""
    from fastapi import Request

    @app.post("/v1/recommend", openapi_extra=operation(RecommendRequest, "Recommendations"))
    async def recommend(request: Request) -> Any:
        """Recommend items."""
        body = await context.body(request, RecommendRequest)
        name, recommender = context.recommender(body.model)
        found = await context.decode(_found, recommender, body)
        return await json_response({"object": "list", "model": name, "recommendations": found})


def _found(recommender: Recommender, body: RecommendRequest) -> list[dict[str, Any]]:
    if body.similar is not None:
        found = recommender.similar(body.similar, k=body.k)
    else:
        found = recommender.recommend(
            body.user, likes=body.likes, k=body.k, include_seen=body.include_seen, few_likes=body.few_likes
        )
    return [each.to_dict() for each in found]
