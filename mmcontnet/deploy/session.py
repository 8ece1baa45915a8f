"""Opening ONNX files by onnxruntime."""

from pathlib import Path
from typing import Any, Optional, Sequence, Union


def open_session(path: Union[str, Path], providers: Optional[Sequence[str]] = None, threads: int = 0) -> Any:
    """An ``onnxruntime.InferenceSession``.

    Args:
        path (str | Path): The file.
        providers (Sequence[str] | None): Where to run, in order of preference. Defaults to None, whatever there is.
        threads (int): Number of threads; 0, the default, leaves it to onnxruntime.

    Raises:
        ImportError: onnxruntime is missing.
        ValueError: It cannot open the file.
    """
    try:
        import onnxruntime  # Here, since checkpoints are evaluated without it.
    except ImportError as error:
        raise ImportError(f'{error}; pip install onnxruntime') from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(path, options, providers or onnxruntime.get_available_providers())
    except Exception as error:  # Its errors have no class in common.
        raise ValueError(f'{path} cannot be opened by onnxruntime: {first_line(error)}') from None


def first_line(error: Exception) -> str:
    """Of a message; those of onnxruntime have many."""
    return next(iter(str(error).splitlines()), type(error).__name__)
