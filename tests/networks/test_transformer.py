"""The attention blocks against Keras' own layers, and what must hold of any causal transformer."""

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from service.networks.operations import NumPyOperations
from service.networks.transformer import AttentionBlock
from tests.networks.samples import answer, fresh, recipe_of, series

Array = NDArray[np.float32]


def make_block(units: int) -> AttentionBlock:
    keras.utils.set_random_seed(3)
    block = AttentionBlock(recipe_of(architecture="patchtst", units=units))
    block.build((None, None, units))
    for variable in block.weights:
        variable.assign(variable + 0.1 * keras.random.normal(variable.shape))
    return block


def by_keras(block: AttentionBlock, x: Array) -> Array:
    """The block of Keras' layers, each head with its linear bias in place of a mask."""
    units, heads = block.units, block.heads
    size = units // heads
    normal = block.norms[0](x)
    kernel, bias = (np.asarray(weight) for weight in block.project.weights)
    # [batch, patches, part, head, size]
    parts = (normal @ kernel + bias).numpy().reshape(*x.shape[:2], 3, heads, size)
    ahead = np.arange(x.shape[1])[:, None] - np.arange(x.shape[1])
    joined = []
    for head in range(heads):
        query, key, value = (parts[:, :, part, head] for part in range(3))
        slope = 2.0 ** (-8 * (head + 1) / heads)
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(size) - slope * ahead
        joined.append(np.asarray(keras.ops.softmax(np.where(ahead >= 0, scores, -np.inf))) @ value)
    x = x + block.join(np.concatenate(joined, axis=-1).astype(np.float32))
    return np.asarray(x + block.narrow(block.wide(block.norms[1](x))))


@pytest.mark.parametrize("units", [8, 6, 5])
def test_a_block_is_normalised_attention_and_two_dense_layers(units: int) -> None:
    block = make_block(units)
    assert block.heads == {8: 4, 6: 2, 5: 1}[units]
    x = np.random.default_rng(0).normal(size=(2, 7, units)).astype(np.float32)
    np.testing.assert_allclose(block.forward(NumPyOperations(), x), by_keras(block, x), atol=2e-5)


def test_no_patch_sees_what_comes_after_it() -> None:
    network = fresh(recipe_of(architecture="patchtst", head="sequence"))
    x = series(2, 48)
    changed = x.copy()
    changed[:, 30:] += 3.0
    steps = 1 + np.arange(4, 48, 4) // 4 * 4 + 3  # the points known at each patch
    before = steps <= 30
    found, other = answer(network, x), answer(network, changed)
    np.testing.assert_allclose(found[:, before], other[:, before], atol=1e-6)
    assert (np.abs(found[:, ~before] - other[:, ~before]) > 1e-4).any(axis=(0, 2)).all()


@pytest.mark.parametrize("length", range(8, 20))
def test_the_last_patch_ends_with_the_series_at_every_length(length: int) -> None:
    network = fresh(recipe_of(architecture="patchtst"))
    x = series(1, length)
    for age in (0, 7):
        changed = x.copy()
        changed[0, -1 - age] += 1.0
        assert not np.allclose(answer(network, x), answer(network, changed), atol=1e-5)
