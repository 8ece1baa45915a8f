"""The one reader of checkpoints, for mmengine too: it runs no code that is in a file, and names the file in errors."""

import errno
import functools
import os
import re
import zipfile
from pathlib import Path
from typing import Any, Dict, Union

import torch
from mmengine.fileio import get_local_path
from mmengine.runner import CheckpointLoader
from mmengine.runner import checkpoint as loaders
from torch import Tensor
from torch.hub import load_state_dict_from_url

from .safe_globals import register_safe_globals

WEB = ('http://', 'https://')
# Of what is in an archive to the archive itself; torch.save compresses nothing, TorchScript a little.
LARGEST_RATIO = 10


def read_checkpoint(source: Union[str, Path], map_location: Any = 'cpu') -> Dict[str, Any]:
    """Reads a checkpoint of PyTorch.

    Args:
        source (str | Path): A file, or a URL of the web or of a storage that mmengine knows.
        map_location (str): See ``torch.load``. Defaults to ``'cpu'``.

    Returns:
        dict: What is in the file.

    Raises:
        ValueError: There is no such file, it is damaged or of another format, it would run code, or it holds no dict.
    """
    source = str(source) or "''"
    try:
        if source.startswith(WEB):
            checkpoint = load_state_dict_from_url(source, map_location=map_location, weights_only=True)
        else:
            with get_local_path(source) as path:
                _check_file(Path(path))
                checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except Exception as error:  # A damaged file makes torch raise anything.
        # Torch's own message advises to run what is in the file.
        raise ValueError(f'{source} cannot be read as a checkpoint of PyTorch: {_explain(error, source)}') from None
    if not isinstance(checkpoint, dict):
        raise ValueError(f'{source} holds {_describe(checkpoint)}; expected a dict of weights')
    return checkpoint


def get_state_dict(checkpoint: Dict[str, Any], source: Union[str, Path]) -> Dict[str, Any]:
    """The weights in a checkpoint, without the prefix ``'module.'`` of data parallelism.

    Args:
        checkpoint (dict): A state dict, or a dict with one under ``'state_dict'``.
        source (str | Path): Where it was read.

    Raises:
        ValueError: It holds no state dict.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    if not isinstance(weights, dict):
        raise ValueError(f'{source}: state_dict is {_describe(weights)}; expected a dict of weights')
    for name in weights:
        if not isinstance(name, str):
            raise ValueError(f'{source}: a weight is called {name!r}; expected strings as names')
    plain = {re.sub(r'^module\.', '', name): weight for name, weight in weights.items()}
    if len(plain) < len(weights):
        raise ValueError(f"{source}: weights are there both with and without the prefix 'module.'; keep one of each")
    return plain


def register_reading() -> None:
    """Makes mmengine read files and URLs by :func:`read_checkpoint`, and everything else without running its code.

    The loaders of the remaining schemes, such as ``torchvision://``, end in two functions of their module. In OneDL's
    mmengine one of them runs the code in a checkpoint after torch has refused it.
    """
    register_safe_globals()
    CheckpointLoader.register_scheme(
        ('', *WEB), lambda filename, map_location: read_checkpoint(filename, map_location), force=True
    )
    vars(loaders).update(
        load_url=functools.partial(load_state_dict_from_url, weights_only=True),
        _safe_torch_load=functools.partial(torch.load, weights_only=True),
    )
    _forget_old_configs()


def _forget_old_configs() -> None:
    """Drops the config that mmcv 1 stored as ``config``: mmengine would run it as Python when it resumes training."""
    original = CheckpointLoader.load_checkpoint

    @functools.wraps(original)
    def load_checkpoint(*args: Any, **kwargs: Any) -> Any:
        checkpoint = original(*args, **kwargs)
        meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
        if isinstance(meta, dict):
            meta.pop('config', None)
        return checkpoint

    CheckpointLoader.load_checkpoint = staticmethod(load_checkpoint)  # type: ignore[method-assign]


def _check_file(path: Path) -> None:
    """Refuses what would make torch wait, or fill the memory.

    Raises:
        OSError: There is no such file, or it is no regular one.
    """
    if not path.is_file():
        path.stat()
        raise OSError(errno.EINVAL, os.strerror(errno.EISDIR) if path.is_dir() else 'it is no regular file', str(path))
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
        if size > LARGEST_RATIO * path.stat().st_size:
            raise OSError(errno.EINVAL, f'it is compressed and would take {size / 2**20:.0f} MiB', str(path))


def _explain(error: Exception, source: str) -> str:
    """Why a file cannot be read, without torch's advice."""
    if isinstance(error, FileNotFoundError):
        return 'there is no such file'
    of_system = isinstance(error, OSError) and (error.filename or error.errno != errno.EINVAL)  # Which damage causes.
    if of_system or isinstance(error, ImportError):  # Of the file system, the web or the client of a storage.
        return getattr(error, 'strerror', None) or str(error)
    scheme = source.partition('://')[0]
    if scheme != source and isinstance(error, KeyError):
        return f'no storage is known whose addresses begin with {scheme}://'
    message = str(error)
    if 'TorchScript' in message:
        return 'it is a TorchScript archive; expected what torch.save writes of a dict of weights'
    found = re.search(r'GLOBAL (\S+)|class (\S+)|asks for (.+?), which', message)
    if found:
        name = next(filter(None, found.groups()))
        return f'it holds {name}, which may run code; expected tensors, numbers and strings only'
    return f'it is empty, damaged or of another format ({type(error).__name__})'


def _describe(value: Any) -> str:
    return f'a tensor of shape {tuple(value.shape)}' if isinstance(value, Tensor) else f'{type(value).__name__}'
