"""The numbers of the version that ships in the package: what makes it faster must not move them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.domain.seasons import Seasons
from service.engines.onnx import OnnxZeroShot
from service.networks.pretrained_combiner import PATH

VERSION = PATH.parents[1]


def wave(seasons: Seasons, n: int) -> NDArray[np.float32]:
    """A season that grows, a trend, and what repeats itself in no season; of two seasons also a weekend."""
    t = np.arange(n)
    season = 8 * np.sin(2 * np.pi * t / max(seasons.short, 9)) * (1 + 0.01 * t)
    weekend = 5 * (t // 24 % 7 > 4) if seasons.long else 0
    values = 50 + 0.1 * t + season + 3 * np.cos(1.7 * t * t % 7) + weekend
    return np.asarray(values / 50, np.float32)


@pytest.mark.parametrize(
    ("seasons", "n", "forecast", "unit"),
    [
        (Seasons(12), 96, [1.156672, 1.307039, 1.432658, 1.476313], [0.0468571, 0.0497273, 0.0525301, 0.0553861]),
        (Seasons(1), 200, [1.52701, 1.495218, 1.466856, 1.441586], [0.245088, 0.282483, 0.308426, 0.329369]),
        (Seasons(4), 9, [0.8476985, 0.8326808, 0.8200508, 0.8095252], [0.0600949, 0.0795349, 0.0959473, 0.111437]),
        (Seasons(24, 168), 1344, [3.739052, 4.352495, 4.856895, 5.429707], [0.0865718, 0.0984363, 0.110518, 0.123442]),
    ],
)
def test_it_forecasts_what_it_has_always_forecast(
    seasons: Seasons, n: int, forecast: list[float], unit: list[float]
) -> None:
    combined = OnnxZeroShot(VERSION).combine(wave(seasons, n)[None], np.array([n], np.int32), seasons, 6)
    np.testing.assert_allclose(combined.forecast[0, :4], forecast, rtol=1e-5)
    np.testing.assert_allclose(combined.unit[0, :4], unit, rtol=1e-4)
