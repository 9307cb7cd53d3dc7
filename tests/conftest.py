"""Settles the backend before Keras is imported: the one asked for, else the first that is installed."""

import importlib.util
import os

if "KERAS_BACKEND" not in os.environ:
    for _name in ("torch", "jax", "tensorflow"):
        if importlib.util.find_spec(_name):
            os.environ["KERAS_BACKEND"] = _name
            break
# TensorFlow's start-up notes would drown a failing test's output.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def pytest_report_header() -> str:
    return f"keras backend: {os.environ.get('KERAS_BACKEND')}"
