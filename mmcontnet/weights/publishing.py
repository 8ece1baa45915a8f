"""Checkpoints for others: weights and where they come from, in files that torch or safetensors opens by itself."""

import hashlib
import json
from io import BytesIO
from pathlib import Path
from typing import Any, Dict

import numpy as np
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
        if weight.layout is not torch.strided or weight.is_nested or weight.is_meta:
            raise ValueError(f'{source}: {name} is sparse, nested or without values; expected dense tensors as weights')
    meta = checkpoint.get('meta')
    kept = meta if isinstance(meta, dict) else {}
    content = encode(
        # Copies, since a tensor that is a part of another would be written with all of it.
        {name: weight.detach().clone(memory_format=torch.contiguous_format) for name, weight in weights.items()},
        {key: _plain(kept[key], f'{source}: meta.{key}') for key in KEPT if key in kept},
    )
    file = out.with_name(f'{out.stem}-{hashlib.sha256(content).hexdigest()[:HASH_DIGITS]}{out.suffix}')
    with whole_file(file) as stream:
        stream.write(content)
    return file


def _plain(value: Any, name: str) -> Any:
    """A value of which only Python's own types are left, which torch reads where nothing else is installed.

    Raises:
        ValueError: There are others in it.
    """
    try:
        return json.loads(json.dumps(value, default=_to_list))
    except Exception as error:  # Of values of any type.
        raise ValueError(f'{name} cannot be kept: {error}; expected what JSON can hold') from None


def _to_list(value: Any) -> Any:
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, (np.ndarray, np.generic, Tensor)):
        return value.tolist()
    raise TypeError(f'it holds {type(value).__name__}')


def _encode_torch(weights: Dict[str, Tensor], meta: Dict[str, Any]) -> bytes:
    content = BytesIO()
    torch.save(dict(state_dict=weights, meta=meta), content)
    return content.getvalue()


def _encode_safetensors(weights: Dict[str, Tensor], meta: Dict[str, Any]) -> bytes:
    try:
        from safetensors.torch import save
    except ImportError as error:
        raise ImportError('.safetensors needs the package safetensors; pip install safetensors') from error
    for name, weight in weights.items():
        try:
            save({name: weight.flatten()[:0]})
        except Exception:  # Of several kinds.
            raise ValueError(f'safetensors cannot hold {name}, {weight.dtype}; let OUT end in .pth') from None
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
    return save(weights, {'format': 'pt', **texts})
