"""Whether an exported model finds what the model of its checkpoint finds."""

from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from ..commands import about
from ..deploy.predictor import Classes, Detections, LabelMap, Predictor


class Tolerance(NamedTuple):
    """How much two models may differ.

    Attributes:
        overlap (float): The least IoU of two boxes, or masks, of an object.
        score (float): The largest difference of scores.
        pixels (float): The least share of equal pixels.
    """

    overlap: float
    score: float
    pixels: float


TOLERANCES = {'float32': Tolerance(0.99, 0.001, 0.999), 'float16': Tolerance(0.9, 0.02, 0.99)}
# Objects below this score are not compared, if there are others.
SCORE = 0.3
# Pixels by which the corners of equal boxes may differ; the IoU of boxes far thinner than a pixel is left to rounding.
CLOSE = 0.02
# Pixels of equal masks that may differ: rounding takes some of the edge across the threshold, many of a small mask.
FLIPPED = 3


class TorchPredictor(Predictor):
    """An exported model in the format of torch."""

    suffix = '.pt2'

    def load(self, path: Path) -> Callable[..., Sequence[torch.Tensor]]:
        """The program as a function of tensors."""
        return torch.export.load(path).module()

    def open(self, path: Path) -> Callable[..., List[np.ndarray]]:
        """The program as a function."""
        module = self.load(path)

        def run(**inputs: np.ndarray) -> List[np.ndarray]:
            with torch.no_grad():
                return [out.numpy() for out in module(*map(torch.from_numpy, inputs.values()))]

        return run


class CompiledPredictor(TorchPredictor):
    """An exported model that AOTInductor has compiled."""

    def load(self, path: Path) -> Callable[..., Sequence[torch.Tensor]]:
        """The program as a function of tensors."""
        return torch._inductor.aoti_load_package(str(path))


PREDICTORS = {'model.onnx': Predictor, 'model.pt2': TorchPredictor, 'compiled.pt2': CompiledPredictor}


def first_picture(cfg: Config) -> str:
    """The file of the first picture of a config's test data.

    Raises:
        ValueError: It cannot be found.
    """
    init_default_scope(cfg.default_scope)
    with about('--check'):
        return DATASETS.build(cfg.test_dataloader.dataset).get_data_info(0)['img_path']


def check(reference: Any, folder: Path, image: np.ndarray, picture: str) -> str:
    """Compares an exported model with the one of its checkpoint on a picture.

    Args:
        reference (Any): The model in ``mmcontnet.inference``.
        folder (Path): The exported model.
        image (np.ndarray): The picture, (H, W, 3), RGB, 8 bits.
        picture (str): Its name, for errors.

    Returns:
        str: What was compared.

    Raises:
        ValueError: They differ; the message says where.
    """
    (sample,) = reference.predict([np.ascontiguousarray(image[..., ::-1])])
    name = next(name for name in PREDICTORS if (folder / name).is_file())
    predictor = PREDICTORS[name](folder)
    expected = convert(sample)
    return compare(expected, predictor(image), TOLERANCES[predictor.description.dtype], picture)


def convert(sample: Any) -> Any:
    """A toolbox's data sample as what a :class:`~mmcontnet.deploy.Predictor` returns."""
    if 'pred_instances' in sample:
        found = sample.pred_instances
        masks = np.asarray(found.masks) if 'masks' in found else None
        return Detections(found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy(), masks)
    if 'pred_sem_seg' in sample:
        return LabelMap(sample.pred_sem_seg.data[0].numpy())
    scores, labels = sample.pred_score.sort(descending=True)
    return Classes(scores.numpy(), labels.numpy())


def compare(expected: Any, found: Any, tolerance: Tolerance, name: str) -> str:
    """Compares two predictions on a picture; see :func:`check`."""
    if isinstance(expected, Detections):
        if not (np.isfinite(found.boxes).all() and np.isfinite(found.scores).all()):
            raise ValueError(f'{name}: the exported model finds numbers that are not finite; nothing is written')
        # Of a model that is sure of nothing, the best object.
        score = min([SCORE, *expected.scores[:1]])  # They are sorted.
        for one, other, kind in ((expected, found, 'is missing'), (found, expected, 'is new')):
            for number in np.flatnonzero(one.scores >= score):
                if not has_match(one, number, other, tolerance):
                    box = one.boxes[number].round(1).tolist()
                    raise ValueError(
                        f'{name}: of the exported model {kind} the box {box} of class {one.labels[number]} with score '
                        f'{one.scores[number]:.3f}; the models differ, nothing is written'
                    )
        return f'{np.count_nonzero(expected.scores >= score)} objects agree'
    if isinstance(expected, LabelMap):
        share = np.mean(expected.label_map == found.label_map)
        if share < tolerance.pixels:
            raise ValueError(f'{name}: {share:.2%} of the pixels agree; the models differ, nothing is written')
        return f'{share:.2%} of the pixels agree'
    difference = np.abs(expected.scores[expected.labels.argsort()] - found.scores[found.labels.argsort()]).max()
    if not difference <= tolerance.score:  # It may be NaN.
        raise ValueError(f'{name}: scores differ by up to {difference:.4f}; the models differ, nothing is written')
    return f'scores agree up to {difference:.1e}'


def has_match(one: Detections, number: int, other: Detections, tolerance: Tolerance) -> bool:
    """Whether an object is among those of another model."""
    overlaps = box_ious(one.boxes[number], other.boxes)
    alike = (other.labels == one.labels[number]) & (np.abs(other.scores - one.scores[number]) <= tolerance.score)
    are_close = (np.abs(other.boxes - one.boxes[number]) <= CLOSE).all(1)
    near = np.flatnonzero(alike & ((overlaps >= tolerance.overlap) | are_close))
    if one.masks is None:
        return len(near) > 0
    mask = one.masks[number]
    return any(
        (mask ^ other.masks[n]).sum() <= max(FLIPPED, (1 - tolerance.overlap) * (mask | other.masks[n]).sum())
        for n in near
    )


def box_ious(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The IoUs of a box, (4,), with others, (N, 4)."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersections = sides.clip(0).prod(1)
    areas: Tuple[Any, Any] = (box[2:] - box[:2]).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return intersections / np.maximum(areas[0] + areas[1] - intersections, np.finfo(np.float32).tiny)
