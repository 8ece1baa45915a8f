"""From a picture to boxes, a label map or classes, by onnxruntime."""

from pathlib import Path
from typing import Any, Callable, List, NamedTuple, Optional, Union

import numpy as np
from numpy.typing import NDArray

from .description import FILE, read_description
from .masks import paste_masks
from .pictures import Picture, prepare, read_picture
from .session import first_line, open_session

OUTPUTS = {
    'detection': ('boxes', 'scores', 'labels'),
    'segmentation': ('label_map',),
    'classification': ('scores',),
}


class Detections(NamedTuple):
    """Objects in a picture, best first.

    Attributes:
        boxes (np.ndarray): (N, 4), left, top, right and bottom in pixels of the picture.
        scores (np.ndarray): (N,).
        labels (np.ndarray): Their classes, (N,), counted from 0.
        masks (np.ndarray | None): (N, H, W), bool; None from a model without masks.
    """

    boxes: NDArray[Any]
    scores: NDArray[Any]
    labels: NDArray[Any]
    masks: Optional[NDArray[Any]]


class LabelMap(NamedTuple):
    """The classes of the pixels of a picture, (H, W), counted from 0."""

    label_map: NDArray[Any]


class Classes(NamedTuple):
    """The probabilities of all classes of a picture, (N,), highest first, and the classes, (N,), counted from 0."""

    scores: NDArray[Any]
    labels: NDArray[Any]


class Predictor:
    """An exported model.

    Args:
        folder (str | Path): What ``tools/export.py`` wrote.

    Attributes:
        description (Description): Its classes, among others.

    Raises:
        ImportError: onnxruntime is missing.
        ValueError: There is no model that can be run, or it is damaged; the message says why.

    Example:
        >>> predictor = Predictor('exported')
        >>> boxes, scores, labels, masks = predictor('cat.jpg')
        >>> [predictor.description.classes[label] for label in labels]
        ['cat']
    """

    suffix = '.onnx'

    def __init__(self, folder: Union[str, Path]) -> None:
        self.description = read_description(folder)
        path = Path(folder, self.description.model)
        if path.suffix != self.suffix:
            raise ValueError(f'{path} is not for onnxruntime; open it with torch, or export with --format onnx')
        self._run = self.open(path)
        self._predict: Callable[[NDArray[Any]], Union[Detections, LabelMap, Classes]] = getattr(
            self, f'_predict_{self.description.task}'
        )

    def open(self, path: Path) -> Callable[..., List[NDArray[Any]]]:
        """The network as a function of its inputs by name."""
        session = open_session(path)
        found = [output.name for output in session.get_outputs()]
        expected = OUTPUTS[self.description.task]
        if tuple(found[: len(expected)]) != expected:
            raise ValueError(
                f'{path} returns {", ".join(found)}; a model for {self.description.task} returns '
                f'{", ".join(expected)}; export the model again'
            )

        def run(**inputs: NDArray[Any]) -> List[NDArray[Any]]:
            try:
                return session.run(None, inputs)
            except Exception as error:
                shapes = ', '.join(f'{name} of {value.dtype} {value.shape}' for name, value in inputs.items())
                raise ValueError(f'{path} cannot be run on {shapes}: {first_line(error)}') from None

        return run

    def __call__(self, picture: Picture) -> Union[Detections, LabelMap, Classes]:
        """Predicts on a picture.

        Args:
            picture (str | Path | PIL.Image.Image | np.ndarray): A file, a picture of Pillow, or an array (H, W, 3),
                RGB, 8 bits.

        Returns:
            Detections | LabelMap | Classes: By the kind of the model.

        Raises:
            OSError: The file cannot be read as a picture.
            ValueError: The picture is of another type, or too small, or the description lacks a class that was found.
        """
        prediction = self._predict(read_picture(picture))
        labels = prediction.label_map if isinstance(prediction, LabelMap) else prediction.labels
        names = len(self.description.classes)
        if labels.size and labels.max() >= names:
            raise ValueError(f'the model finds class {labels.max()}, but {FILE} names {names}; export the model again')
        return prediction

    def _predict_detection(self, image: NDArray[Any]) -> Detections:
        prepared = prepare(image, self.description.pipeline)
        boxes, scores, labels, *masks = self._run(images=prepared.image[None])
        count = np.count_nonzero(scores[0])
        boxes = boxes[0, :count] / np.array([*prepared.scale, *prepared.scale], np.float32)
        pasted = None
        threshold = self.description.mask_threshold
        if masks and threshold is not None:
            pasted = paste_masks(masks[0][0, :count], boxes, (image.shape[0], image.shape[1]), threshold)
        return Detections(boxes, scores[0, :count], labels[0, :count], pasted)

    def _predict_segmentation(self, image: NDArray[Any]) -> LabelMap:
        prepared = prepare(image, self.description.pipeline)
        (label_map,) = self._run(images=prepared.image[None], size=np.array(image.shape[:2]))
        return LabelMap(label_map[0])

    def _predict_classification(self, image: NDArray[Any]) -> Classes:
        (scores,) = self._run(images=prepare(image, self.description.pipeline).image[None])
        labels = np.argsort(-scores[0], kind='stable')
        return Classes(scores[0][labels], labels)
