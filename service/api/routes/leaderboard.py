"""GET /leaderboard."""

from fastapi import APIRouter, Response

from service.api.dependencies import Injected
from service.api.json_response import list_response
from service.api.openapi import problems
from service.api.schemas.leaderboard import LeaderboardAnswer, to_json
from service.store.leaderboard import Metric, Part, rank

router = APIRouter(tags=["models"])


@router.get("/leaderboard", response_model=LeaderboardAnswer, responses=problems(422))
async def get_leaderboard(services: Injected, metric: Metric | None = None, part: Part = "test") -> Response:
    """All versions and the baselines, ranked by stored scores: one group for each data that they were measured on."""
    groups = rank(services.catalog.models(), part=part, metric=metric)
    return list_response("leaderboard", [to_json(group) for group in groups])
