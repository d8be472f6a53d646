"""Makes an engine of a runtime: removes level and unit from series in 64 bits, and restores them in the answers."""

from service.domain.normalization import Equivariance, find_equivariance, normalize
from service.engines.engine import Answers, Kind, Lengths, Runtime, Series
from service.store.manifest import Manifest


class NormalizedEngine:
    """A runtime behind `service.domain.normalization`."""

    def __init__(self, runtime: Runtime, equivariance: Equivariance) -> None:
        self.runtime = runtime
        self._equivariance = equivariance

    @classmethod
    def of(cls, runtime: Runtime, manifest: Manifest) -> "NormalizedEngine":
        """The engine of a version that a runtime has loaded."""
        return cls(runtime, find_equivariance(manifest.hyper_parameters))

    def estimate(self, kind: Kind, rows: int, length: int, horizon: int) -> float:
        return self.runtime.estimate(kind, rows, length, horizon)

    def forecast(self, series: Series, lengths: Lengths) -> Answers:
        normalized, reference = normalize(series, lengths, self._equivariance)
        answers = self.runtime.forecast(normalized, lengths)
        return answers if reference is None else reference.restore(answers)

    def rollout(self, series: Series, lengths: Lengths, horizon: int) -> Answers:
        normalized, reference = normalize(series, lengths, self._equivariance)
        answers = self.runtime.rollout(normalized, lengths, horizon)
        return answers if reference is None else reference.restore(answers)

    def all_steps(self, series: Series, lengths: Lengths) -> tuple[Answers, Lengths]:
        normalized, reference = normalize(series, lengths, self._equivariance)
        answers, steps = self.runtime.all_steps(normalized, lengths)
        return (answers if reference is None else reference.restore(answers)), steps
