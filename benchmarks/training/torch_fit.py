"""PyTorch's fused layers, for `benchmarks.training`: two LSTM or GRU layers and a dense one, fitted to noise.

Run by the peer's own interpreter: `python torch_fit.py LSTM 20`, on a GPU `python torch_fit.py LSTM 20 cuda`. Prints
one line of JSON as `benchmarks.training.one` does. Time does not depend on what is learnt, so the data are random
numbers of the same shape.
"""

import json
import resource
import sys
import time

import torch

N, VALIDATION, STEPS, HORIZON, UNITS, BATCH = 7000, 2000, 50, 10, 20, 32


class Network(torch.nn.Module):  # type: ignore[misc]  # PyTorch lives in another environment
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.recurrent = getattr(torch.nn, kind)(1, UNITS, 2, batch_first=True)
        self.dense = torch.nn.Linear(UNITS, HORIZON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.dense(self.recurrent(x)[0])
        return answer


def main(kind: str, epochs: int, device: str = "cpu") -> None:
    torch.manual_seed(42)
    if device != "cpu":
        torch.set_default_device(device)
    x, y = torch.randn(N, STEPS, 1), torch.randn(N, STEPS, HORIZON)
    held_out = torch.randn(VALIDATION, STEPS, 1), torch.randn(VALIDATION, STEPS, HORIZON)
    started = time.perf_counter()
    network = Network(kind)
    optimizer = torch.optim.Adam(network.parameters())
    loss_of = torch.nn.MSELoss()
    times = []
    for _ in range(epochs):
        begun = time.perf_counter()
        order = torch.randperm(N)
        for first in range(0, N, BATCH):
            rows = order[first : first + BATCH]
            optimizer.zero_grad()
            loss_of(network(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            loss_of(network(held_out[0]), held_out[1]).item()
        times.append(time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.perf_counter() - started, "epochs": times, "peak_mb": peak, "mse": None}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
