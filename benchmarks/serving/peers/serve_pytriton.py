"""PyTriton, tuned: Triton's own HTTP server in front, batches without a delay."""

import os
from typing import Any

import numpy as np
from graph import load
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def make_infer() -> Any:
    forecast = load()

    @batch  # type: ignore[untyped-decorator]
    def infer(series: Any) -> list[Any]:
        return [forecast(series)]

    return infer


if __name__ == "__main__":
    port = int(os.environ["PORT"])
    config = TritonConfig(
        http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False, log_verbose=0
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="forecaster",
            infer_func=[make_infer() for _ in range(int(os.environ["PROCESSES"]))],
            inputs=[Tensor(name="series", dtype=np.float32, shape=(-1,))],
            outputs=[Tensor(name="forecast", dtype=np.float32, shape=(-1,))],
            config=ModelConfig(max_batch_size=1024, batcher=DynamicBatcher(max_queue_delay_microseconds=0)),
            strict=False,
        )
        triton.serve()
