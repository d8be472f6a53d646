"""Set before anything imports TensorFlow."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from hypothesis import settings

# Hypothesis' own limit of 200 ms for an example would fail tests for what else the machine does.
settings.register_profile("patient", deadline=None)
# For `make fuzz`.
settings.register_profile("fuzz", deadline=None, max_examples=2000)
settings.load_profile("patient")
