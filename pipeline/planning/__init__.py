"""Sizes, prediction and settings of a run."""
