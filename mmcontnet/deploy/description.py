"""``model.json``: what there is to know of an exported model besides its network."""

import json
import math
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Union

FILE = 'model.json'
# Counted up when a file of before can no longer be read.
VERSION = 1
TASKS = ('detection', 'segmentation', 'classification')


class Description(NamedTuple):
    """The contents of ``model.json``.

    Attributes:
        version (int): Of this format, :data:`VERSION`.
        task (str): One of :data:`TASKS`.
        model (str): Name of the file with the network, in the same folder.
        classes (list[str]): Names of the classes.
        palette (list[list[int]]): Their colors, RGB.
        pipeline (dict): How pictures are resized; see :func:`mmcontnet.deploy.pictures.prepare`.
        dtype (str): What the network computes in, ``'float32'`` or ``'float16'``.
        config (str): Text of the config.
        checkpoint (dict): Name and SHA-256 of the file that the weights are from.
        packages (dict): Versions of what exported it.
        max_per_image (int | None): How many objects are found in a picture, at most; of detectors.
        score_threshold (float | None): From which score on; of detectors.
        mask_threshold (float | None): From which probability on a pixel is of the object; of instance segmentors.
    """

    version: int
    task: str
    model: str
    classes: List[str]
    palette: List[List[int]]
    pipeline: Dict[str, Any]
    dtype: str
    config: str
    checkpoint: Dict[str, str]
    packages: Dict[str, str]
    max_per_image: Optional[int] = None
    score_threshold: Optional[float] = None
    mask_threshold: Optional[float] = None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and value > 0


def _is_size(value: Any) -> bool:
    return len(value) == 2 and all(map(_is_length, value))


def _is_color(value: Any) -> bool:
    return len(value) == 3 and all(isinstance(part, int) and 0 <= part <= 255 for part in value)


def _is_resize(value: Any) -> bool:
    """Of a pipeline, see :func:`mmcontnet.deploy.pictures.prepare`."""
    if value is None:
        return True
    if 'size' in value:
        return _is_size(value['size'])
    if 'scale' in value:
        short, long = sorted(value['scale'])
        return 0 < short < math.inf and long > 0  # The long edge may be infinite: then the other alone counts.
    return value['edge'] in ('short', 'long', 'width', 'height') and _is_length(value['length'])


def _are_texts(values: Iterable[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


# What is wrong here would only be noticed while predicting or drawing.
_CHECKS: Dict[str, Callable[[Any], bool]] = {
    'task': lambda value: value in TASKS,
    'model': lambda value: Path(value).name == value,
    'classes': lambda value: isinstance(value, list) and _are_texts(value),
    'palette': lambda value: isinstance(value, list) and all(map(_is_color, value)),
    'pipeline': lambda value: isinstance(value, dict) and {'resize', 'backend', 'crop'} <= {*value},
    'pipeline.resize': _is_resize,
    'pipeline.backend': lambda value: value in ('cv2', 'pillow'),
    'pipeline.crop': lambda value: value is None or _is_size(value),
    'dtype': lambda value: value in ('float32', 'float16'),
    'config': lambda value: isinstance(value, str),
    'checkpoint': lambda value: _are_texts(value.values()),
    'packages': lambda value: _are_texts(value.values()),
    'max_per_image': lambda value: value is None or _is_length(value),
    'score_threshold': lambda value: value is None or _is_number(value),
    'mask_threshold': lambda value: value is None or (_is_number(value) and 0 <= value <= 1),
}


def read_description(folder: Union[str, Path]) -> Description:
    """Reads the description of an exported model.

    Args:
        folder (str | Path): What ``tools/export.py`` wrote.

    Raises:
        ValueError: The folder holds no exported model, is damaged, or of another version.
    """
    path = Path(folder, FILE)
    if not path.is_file():
        raise ValueError(f'{folder} holds no exported model: there is no {FILE} in it; tools/export.py writes one')
    try:
        content = json.loads(path.read_bytes())
        version = content['version']
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is damaged: {error!r}; export the model again') from None
    if version != VERSION:
        raise ValueError(f'{path} is of version {version!r}, this is for {VERSION}; export the model again')
    try:
        description = Description(**content)
    except TypeError as error:
        raise ValueError(f'{path} is damaged: {error}; export the model again') from None
    for name, is_valid in _CHECKS.items():
        key, _, part = name.partition('.')
        value = getattr(description, key)
        value = value[part] if part else value  # What is around it was checked before.
        try:
            valid = is_valid(value)
        except Exception:  # Of values of any type.
            valid = False
        if not valid:
            raise ValueError(f'{path} is damaged: {name} is {value!r:.80}; export the model again')
    if len(description.classes) > len(description.palette):
        raise ValueError(f'{path} is damaged: palette has too few colors; export the model again')
    if not Path(folder, description.model).is_file():
        raise ValueError(f'{folder} is damaged: there is no {description.model} in it; export the model again')
    return description
