"""``model.json``: what there is to know of an exported model besides its network."""

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Union

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
        palette (list[list[int]]): Their colours, RGB.
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
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f'{path} is damaged: {error!r}; export the model again') from None
    if version != VERSION:
        raise ValueError(f'{path} is of version {version}, this is for {VERSION}; export the model again')
    try:
        description = Description(**content)
    except TypeError as error:
        raise ValueError(f'{path} is damaged: {error}; export the model again') from None
    if description.task not in TASKS or len(description.classes) > len(description.palette):
        raise ValueError(f'{path} is damaged: task, classes or palette are wrong; export the model again')
    if not Path(folder, description.model).is_file():
        raise ValueError(f'{folder} is damaged: there is no {description.model} in it; export the model again')
    return description
