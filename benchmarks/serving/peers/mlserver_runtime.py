"""MLServer's model: its own protocol, tensors in and out."""

from graph import load
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Forecaster(MLModel):  # type: ignore[misc]
    async def load(self) -> bool:
        self._forecast = load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        series = NumpyCodec.decode_input(payload.inputs[0])
        outputs = [NumpyCodec.encode_output("forecast", self._forecast(series))]
        return InferenceResponse(model_name=self.name, outputs=outputs)
