"""ONNX files, run by onnxruntime."""

from typing import Any, Dict, Sequence

import numpy as np
import torch

from ..deploy.session import open_session


class OnnxFile:
    """An exported network or model on the CPU, with as many threads as torch has.

    Args:
        path (str): The file.

    Raises:
        ImportError: onnxruntime is missing.
        ValueError: It cannot open the file.
    """

    def __init__(self, path: str) -> None:
        self.session = open_session(path, ['CPUExecutionProvider'], torch.get_num_threads())

    def prepare(self, shape: Sequence[int], **mode: Any) -> None:
        """Makes random images of a shape.

        Args:
            shape (Sequence[int]): (B, 3, H, W). A model that ``tools/export.py`` wrote gets (B, H, W, 3), 8 bits.
            mode: Not used.
        """
        images = np.random.default_rng(0).random(shape, np.float32)
        first, *others = self.session.get_inputs()
        if first.type == 'tensor(uint8)':
            images = (255 * images).astype(np.uint8).transpose(0, 2, 3, 1)
        self.inputs: Dict[str, Any] = {first.name: np.ascontiguousarray(images)}
        for size in others:  # Of a segmentor's label map.
            self.inputs[size.name] = np.array(shape[2:])

    def run(self) -> bool:
        """Runs the file, and returns whether all outputs are finite."""
        return all(bool(np.isfinite(output).all()) for output in self.session.run(None, self.inputs))
