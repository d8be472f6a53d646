"""One fit in a process of its own: `python -m benchmarks.training.one '{"way": "ours", "architecture": "lstm", ..}'`.

Prints one line of JSON: seconds of the whole fit with compilation, of each epoch, peak memory and the validation error.
The data are made and the libraries loaded before the clock starts. With a `device` (`cpu`, `gpu`, `auto`) our fits say
what they ran on.
"""

import json
import os
import platform
import resource
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Fits and measures; the other keys are those of a training request.

    Args:
        request: `way` is `ours`, `chapter`, or `panel` for made-up series of one's own; `device` and `cores` are what
            it may use.
    """
    way = request.pop("way")
    device, cores = request.pop("device", None), request.pop("cores", None)
    if cores is not None:
        os.sched_setaffinity(0, cores)
    machine = {} if device is None else _choose(device)
    found = _on_panel(request) if way == "panel" else _on_waves(way, request)
    return {**found, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, **machine}


def _choose(device: Any) -> dict[str, Any]:
    import jax

    from service.training.device import choose_device, describe_device

    choose_device(device)
    import keras

    return {
        "runs_on": describe_device(),
        "cores": len(os.sched_getaffinity(0)),
        "jax": jax.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
    }


def _on_panel(request: dict[str, Any]) -> dict[str, Any]:
    from benchmarks.training.panel import fit_panel

    return fit_panel(request)


def _on_waves(way: str, request: dict[str, Any]) -> dict[str, Any]:
    from service.domain.recipes.resolve import resolve
    from service.training.data.wave_data import prepare_waves

    recipe = resolve(request)
    waves = prepare_waves(recipe)
    train, validation = waves.train.windows, waves.validation.windows
    fit_here = _fit_ours if way == "ours" else _fit_as_the_chapter
    answers, epochs, losses, seconds = fit_here(recipe, train, validation)
    errors = answers - waves.validation.futures
    return {
        "seconds": seconds,
        "epochs": epochs,
        "losses": losses,
        "mse": float(np.square(errors).mean()),
        "is_whole": len(epochs) == recipe.epochs,
    }


def _fit_ours(recipe: Any, train: Any, validation: Any) -> tuple[Any, list[float], list[float], float]:
    from service.training.data.wave_sampler import WaveSampler
    from service.training.fit import fit, predict

    # The clock starts when JAX and TensorFlow are loaded, as it does for Keras.
    started = time.perf_counter()
    drawn = WaveSampler(recipe) if recipe.max_windows else train
    network, epochs = fit(recipe, drawn, validation, on_batch=lambda: None, on_epoch=lambda epoch: None)
    seconds = time.perf_counter() - started
    answers = predict(network, recipe, validation.x)
    return answers, [one.seconds for one in epochs], [one.val_loss for one in epochs], seconds


def _fit_as_the_chapter(recipe: Any, train: Any, validation: Any) -> tuple[Any, list[float], list[float], float]:
    import keras

    times: list[float] = []

    class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            times.append(time.perf_counter() - self.started)

    def last_time_step_mse(actual: Any, forecast: Any) -> Any:
        return keras.losses.mean_squared_error(actual[:, -1], forecast[:, -1])

    keras.utils.set_random_seed(recipe.seed)
    started = time.perf_counter()
    model = keras.Sequential(_layers(keras, recipe))
    sequence = recipe.head == "sequence"
    model.compile(
        loss="mse",
        optimizer=keras.optimizers.Adam(recipe.learning_rate),
        metrics=[last_time_step_mse] if sequence else [],
    )
    history = model.fit(
        train.x[:, :, None],
        train.targets,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        validation_data=(validation.x[:, :, None], validation.targets),
        callbacks=[Clock()],
        verbose=0,
    )
    seconds = time.perf_counter() - started
    answers = model.predict(validation.x[:, :, None], verbose=0)
    return answers[:, -1] if sequence else answers, times, history.history["val_loss"], seconds


def _layers(keras: Any, recipe: Any) -> list[Any]:
    """The chapter's own models, layer by layer."""
    layers, units, horizon = keras.layers, recipe.units, recipe.horizon
    any_length = keras.Input([None, 1])
    match recipe.architecture:
        case "linear":
            return [keras.Input([recipe.window, 1]), layers.Flatten(), layers.Dense(horizon)]
        case "simple_rnn":
            return [any_length, layers.SimpleRNN(1)]
        case "deep_rnn":
            deep = [layers.SimpleRNN(units, return_sequences=True) for _ in range(2)]
            return [any_length, *deep, layers.SimpleRNN(1)]
        case "vector_rnn":
            first = layers.SimpleRNN(units, return_sequences=True)
            return [any_length, first, layers.SimpleRNN(units), layers.Dense(horizon)]
        case "sequence_rnn":
            recurrent = [layers.SimpleRNN(units, return_sequences=True) for _ in range(2)]
        case "ln_rnn":
            from benchmarks.training.layer_norm import LayerNormCell

            recurrent = [layers.RNN(LayerNormCell(units), return_sequences=True) for _ in range(2)]
        case "lstm":
            recurrent = [layers.LSTM(units, return_sequences=True) for _ in range(2)]
        case "gru":
            recurrent = [layers.GRU(units, return_sequences=True) for _ in range(2)]
        case "conv_gru":
            shorter = layers.Conv1D(units, 4, strides=2, padding="valid")
            recurrent = [shorter, *(layers.GRU(units, return_sequences=True) for _ in range(2))]
        case "wavenet":
            recurrent = [
                layers.Conv1D(units, 2, padding="causal", activation="relu", dilation_rate=rate)
                for rate in (1, 2, 4, 8) * 2
            ]
            return [any_length, *recurrent, layers.Conv1D(horizon, 1)]
        case _:
            raise ValueError(f"the chapter has no {recipe.architecture}")
    # The same arithmetic as the chapter's TimeDistributed(Dense), which Keras 3 gets wrong for series of any length.
    return [any_length, *recurrent, layers.Dense(horizon)]


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
