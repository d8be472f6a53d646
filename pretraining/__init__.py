"""Pretraining of the zero-shot model on synthetic series: `make pretrain`."""
