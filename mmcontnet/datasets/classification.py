"""Checks of data sets of mmpretrain: images with labels."""

from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Set

import numpy as np

from .findings import Finding, Findings, Source, check_each_image, initialize
from .images import Loader, check_image, find_loader


def check_classification(source: Source, pool: ThreadPool) -> Findings:
    """A data set of mmpretrain with one or several labels for each image."""
    if not (yield from initialize(source)):
        return
    used: Set[int] = set()
    yield from check_each_image(partial(_check_labeled_image, source, find_loader(source), used), source, pool)
    for label, name in enumerate(source.classes):
        if used and label not in used:
            yield Finding('Class has no image', f'{source.name}: {name!r}', harmless=True)


def _check_labeled_image(source: Source, load: Loader, used: Set[int], info: dict) -> Findings:
    """An image and its labels, which are added to those used."""
    path = info['img_path']
    yield from check_image(path, load)
    if 'gt_label' not in info:
        if getattr(source.dataset, 'with_label', not source.dataset.test_mode):
            yield Finding('Image has no label', path)
        return
    labels = np.array(info['gt_label'])
    if labels.size and labels.dtype.kind not in 'iu':
        yield Finding('Labels are not whole numbers', f'{path}: {info["gt_label"]!r:.80}')
    elif source.classes and not ((labels >= 0) & (labels < len(source.classes))).all():
        detail = f'{path}: {info["gt_label"]!r:.80}; allowed are 0 to {len(source.classes) - 1}'
        yield Finding('Labels are out of range', detail)
    else:
        used.update(labels.ravel().tolist())
