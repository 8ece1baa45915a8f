"""Checks of data sets of mmseg: images with label maps."""

import os
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Dict, List, Optional, Set

import cv2
import mmcv
import numpy as np
from mmcv.transforms import LoadAnnotations

from .findings import Finding, Findings, Source, attempt, check_each_image, initialize
from .images import Loader, check_image, find_loader


def check_segmentation(source: Source, pool: ThreadPool) -> Findings:
    """A data set of mmseg."""
    if not (yield from initialize(source)):
        return
    load_labels = next((part for part in source.transforms if isinstance(part, LoadAnnotations)), None)
    ignored: List[str] = []
    used: Set[int] = set()
    check = partial(_check_label_map, source, find_loader(source), load_labels, ignored, used)
    yield from check_each_image(check, source, pool)
    if len(ignored) == len(source.dataset):
        yield Finding('All labels are ignored: nothing is left to train on', source.name)
    for label, name in enumerate(source.classes):
        if used and label not in used:
            yield Finding('Class is in no label map', f'{source.name}: {label}, {name!r}', harmless=True)


def check_unused_maps(sources: List[Source]) -> Findings:
    """The label maps of a folder that belong to no image of any split, which mmseg passes over in silence."""
    used: Dict[str, Set[str]] = {}
    suffixes: Dict[str, str] = {}
    for source in sources:
        folder = source.dataset.data_prefix.get('seg_map_path')
        if folder and not source.dataset.ann_file:  # A file names the images to use; others may be left out.
            suffixes[folder] = source.dataset.seg_map_suffix
            used.setdefault(folder, set()).update(
                os.path.normpath(info['seg_map_path']) for info in source.dataset.data_list
            )
    for folder, paths in used.items():
        for path in sorted(map(str, Path(folder).rglob(f'*{suffixes[folder]}'))):
            if os.path.normpath(path) not in paths:
                yield Finding('Label map has no image: it is not used', path)


def _check_label_map(
    source: Source,
    load: Loader,
    load_labels: Optional[LoadAnnotations],
    ignored: List[str],
    used: Set[int],
    info: dict,
) -> Findings:
    """An image and its label map, read as the pipeline does.

    Adds the map to those that are ignored everywhere, or its labels to those used.
    """
    size = yield from check_image(info['img_path'], load)
    if load_labels is None:
        return
    path = info.get('seg_map_path')
    if path is None or not Path(path).is_file():
        yield Finding('Label map cannot be read', f'{path}, of {info["img_path"]}: No such file')
        return
    if path.lower().endswith(('.jpg', '.jpeg')):
        yield Finding('Label map is a JPEG, whose compression changes the labels: use PNG', path)
    read = partial(_read_pixels, path, load_labels.imdecode_backend)
    pixels = yield from attempt(read, 'Label map cannot be read', path)
    if pixels is None:
        return
    if pixels.squeeze().ndim != 2:
        detail = f'{path}: {pixels.shape}; expected one channel of labels, a palette at most'
        yield Finding('Label map holds colors, not labels', detail)
        return
    if pixels.dtype not in (np.uint8, np.bool_):  # mmseg takes the lowest eight bits.
        if not np.array_equal(pixels.astype(np.uint8), pixels):
            detail = f'{path}: {pixels.min()} to {pixels.max()}, {pixels.dtype}; expected 0 to 255'
            yield Finding('Labels do not fit into 8 bits', detail)
            return
        yield Finding('Label map has more than 8 bits', f'{path}: {pixels.dtype}', harmless=True)
    labels = yield from attempt(lambda: load_labels(info)['gt_seg_map'], 'Label map cannot be read', path)
    if labels is None:
        return
    if size and labels.shape[::-1] != size:
        yield Finding('Label map has another size than its image', f'{path}: {labels.shape[::-1]}, image {size}')
    ignore_index = source.dataset.ignore_index
    found = np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256]))  # Linear, where np.unique sorts.
    wrong = found[(found >= len(source.classes)) & (found != ignore_index)].tolist()
    if wrong and source.classes:
        allowed = f'0 to {len(source.classes) - 1} and {ignore_index}'
        yield Finding('Labels are out of range', f'{path}: {wrong}; allowed are {allowed}')
    used.update(found.tolist())
    if found.tolist() == [ignore_index]:
        ignored.append(path)
        yield Finding('Label map is ignored everywhere', path, harmless=True)


def _read_pixels(path: str, backend: str) -> np.ndarray:
    """A label map before mmseg makes 8 bits of it: (height, width), with channels where it holds colors."""
    pixels = mmcv.imread(path, 'unchanged', backend=backend)
    if pixels is None:
        raise ValueError(f'{backend} cannot decode it')
    return pixels
