"""LitServe, tuned. A batch waits a millisecond at most: with no wait its loop never sleeps."""

import os
from typing import Any

import litserve
import numpy as np
from graph import load


class Forecaster(litserve.LitAPI):  # type: ignore[misc]
    def setup(self, device: str) -> None:
        self.forecast = load()

    def decode_request(self, request: dict[str, Any]) -> Any:
        return np.array(request["series"], np.float32)

    def batch(self, inputs: list[Any]) -> list[Any]:
        return inputs

    def predict(self, inputs: list[Any]) -> list[Any]:
        forecast = self.forecast(np.concatenate(inputs))
        return np.split(forecast, np.cumsum([len(one) for one in inputs])[:-1])

    def unbatch(self, output: list[Any]) -> list[Any]:
        return output

    def encode_response(self, output: Any) -> dict[str, Any]:
        return {"forecast": output.tolist()}


if __name__ == "__main__":
    api = Forecaster(max_batch_size=64, batch_timeout=0.001)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(os.environ["PROCESSES"]), timeout=60)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=int(os.environ["PROCESSES"]),
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
