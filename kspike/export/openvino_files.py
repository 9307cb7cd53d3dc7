"""Turns .onnx files into OpenVINO's .xml and .bin, in a process that loads OpenVINO alone.

Run as `python -P openvino_files.py FROM TO NOTES`: NOTES is a JSON object of texts, which the file carries.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(source: str, target: str, notes: str) -> None:
    """Reads an .onnx file, writes the .xml and, beside it, the .bin."""
    import openvino

    model = openvino.convert_model(source)
    for name, text in json.loads(Path(notes).read_text(encoding="utf-8")).items():
        model.set_rt_info(text, ["kspike", name])
    # weights halved by default: a spike near its threshold would change
    openvino.save_model(model, target, compress_to_fp16=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
