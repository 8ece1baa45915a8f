"""Checkpoints for others: weights and where they come from, in files that torch or safetensors opens by itself."""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any, Dict

import torch
from torch import Tensor

from ..fileio import whole_file
from .reading import get_state_dict, read_checkpoint

SUFFIXES = ('.pth', '.safetensors')
HASH_DIGITS = 8  # As in the names of mmdet's checkpoints.
# What mmengine notes of a training and others can use; the rest is for resuming.
KEPT = ('cfg', 'dataset_meta', 'epoch', 'iter', 'mmengine_version', 'time')


def publish(source: Path, out: Path) -> Path:
    """Writes the weights of a checkpoint, without the state of the training, to a file that is named by its content.

    The config, the classes and the length of the training are kept: in a ``.pth`` under ``'meta'``, in a
    ``.safetensors`` in its metadata, the config as text under ``'cfg'``, all else as JSON.

    Args:
        source (Path): A checkpoint of mmengine.
        out (Path): The name without the hash: ``'retinanet.pth'`` becomes ``'retinanet-1a2b3c4d.pth'``.

    Returns:
        Path: The file.

    Raises:
        ValueError: The checkpoint cannot be read, holds something else than weights, or ``out`` has another suffix.
        ImportError: ``out`` ends in ``.safetensors``, and safetensors is not installed.
        OSError: The file cannot be written.
    """
    encode = {'.pth': _encode_torch, '.safetensors': _encode_safetensors}.get(out.suffix)
    if encode is None:
        raise ValueError(f'{out} ends in {out.suffix!r}; expected {" or ".join(SUFFIXES)}')
    checkpoint = read_checkpoint(source)
    weights = get_state_dict(checkpoint, source)
    for name, weight in weights.items():
        if not isinstance(weight, Tensor):
            raise ValueError(f'{source}: {name} is {type(weight).__name__}; expected tensors as weights')
    meta = checkpoint.get('meta')
    content = encode(
        # Copies, since a tensor that is a part of another would be written with all of it.
        {name: weight.detach().clone(memory_format=torch.contiguous_format) for name, weight in weights.items()},
        {key: _plain(meta[key]) for key in KEPT if key in meta} if isinstance(meta, dict) else {},
    )
    file = out.with_name(f'{out.stem}-{hashlib.sha256(content).hexdigest()[:HASH_DIGITS]}{out.suffix}')
    with whole_file(file) as stream:
        stream.write(content)
    return file


def _plain(value: Any) -> Any:
    """A value of which only Python's own types are left, which torch reads where nothing else is installed."""
    return json.loads(json.dumps(value, default=lambda other: other.tolist()))  # Of numpy.


def _encode_torch(weights: Dict[str, Tensor], meta: Dict[str, Any]) -> bytes:
    content = BytesIO()
    torch.save(dict(state_dict=weights, meta=meta), content)
    return content.getvalue()


def _encode_safetensors(weights: Dict[str, Tensor], meta: Dict[str, Any]) -> bytes:
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise ImportError('.safetensors needs the package safetensors; pip install safetensors') from error
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
    return save(weights, {'format': 'pt', **texts})
