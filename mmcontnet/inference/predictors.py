"""The inferencers of mmdet, mmseg and mmpretrain behind one interface."""

import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np
from mmengine.config import Config
from mmengine.infer import BaseInferencer
from mmengine.registry import DATASETS, TRANSFORMS, init_default_scope

from ..datasets.images import Loader
from ..toolboxes import draw_names_as_written
from ..weights.comparison import compare_with_model, format_problems
from ..weights.reading import get_state_dict, read_checkpoint

# Numbers between 1 and 90 that are not the id of any category of COCO.
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)


class Prediction(NamedTuple):
    """What a model predicts on a picture.

    ``records`` are ready for JSON; ``drawn`` is the annotated picture, (H, W, 3), RGB; ``label_map`` the class of each
    pixel, (H, W), from a segmentor.
    """

    records: List[Dict[str, Any]]
    drawn: np.ndarray
    label_map: Optional[np.ndarray] = None


class Predictor:
    """A model in the inferencer of its toolbox, with the weights of a checkpoint.

    Args:
        cfg (Config): The model's config.
        checkpoint (str | Path): The weights, which must fit the model exactly.
        device (str): Where to compute.
        score (float): Detections up to this score are dropped. Defaults to 0.3.
        show (bool): Whether to show each annotated picture in a window. Defaults to False.

    Raises:
        ValueError: The config has no test pipeline that reads images, the checkpoint does not fit, or the classes have
            no names.
    """

    inferencer_type: Tuple[str, str]  # module, class
    visualizer_type: str
    mixes_sizes = False  # Whether a batch may consist of pictures of different sizes.

    def __init__(self, cfg: Config, checkpoint: Any, device: str, score: float = 0.3, show: bool = False) -> None:
        content = read_checkpoint(checkpoint)
        weights = get_state_dict(content, checkpoint)
        self.score = score
        self.show = show
        self.load = _build_loader(cfg)
        draw_names_as_written()
        module, name = self.inferencer_type
        # Without backends, which write files of their own.
        cfg.visualizer = dict(type=self.visualizer_type)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # That no checkpoint is loaded.
            self.inferencer = self.build(getattr(import_module(module), name), cfg, device)
            self.classes, self.palette = _find_classes(cfg, content)
        model = self.inferencer.model
        problems = compare_with_model(model, weights)
        if problems:
            raise ValueError(
                f'{checkpoint} does not fit the model of {cfg.filename}. {format_problems(problems)}. '
                'Give the config that it was trained with.'
            )
        model.load_state_dict(weights)
        self.inferencer.show_progress = False
        self.set_meta(dict(classes=self.classes, palette=self.palette))

    def build(self, inferencer: type, cfg: Config, device: str) -> BaseInferencer:
        """The inferencer, with random weights."""
        return inferencer(cfg, device=device)

    def set_meta(self, meta: Dict[str, list]) -> None:
        """Sets the names and colors of the classes."""
        self.inferencer.model.dataset_meta = self.inferencer.visualizer.dataset_meta = meta

    def __call__(self, images: List[np.ndarray], wait_times: List[float]) -> List[Prediction]:
        """Predicts on a batch.

        Args:
            images (list[np.ndarray]): Pictures of (H, W, 3), BGR, 8 bits; of one size unless ``mixes_sizes``.
            wait_times (list[float]): How many seconds to show each, 0 until a key is pressed.

        Raises:
            ValueError: The model predicts a class without a name.
        """
        samples = self.predict(images)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # Of boxes that reach over the border.
            return [
                self.convert(sample, np.ascontiguousarray(image[..., ::-1]), dict(show=self.show, wait_time=wait_time))
                for sample, image, wait_time in zip(samples, images, wait_times)
            ]

    def predict(self, images: List[np.ndarray]) -> List[Any]:
        """The toolbox's data samples of a batch."""
        samples = []
        for batch in self.inferencer.preprocess(images, batch_size=len(images)):
            samples += self.inferencer.forward(self.unpack(batch))
        return samples

    def unpack(self, batch: Any) -> Any:
        """What the model takes of a batch."""
        return batch

    def convert(self, sample: Any, image: np.ndarray, window: Dict[str, Any]) -> Prediction:
        """Makes a prediction of a toolbox's data sample and the picture, (H, W, 3), RGB."""
        raise NotImplementedError

    def name(self, label: int) -> str:
        """The name of a class.

        Raises:
            ValueError: It has none.
        """
        if label >= len(self.classes):
            raise ValueError(
                f'the model predicts class {label}, counted from 0, but only {len(self.classes)} have names: '
                f'{", ".join(self.classes[:5])} ...; check metainfo in the test_dataloader of the config'
            )
        return self.classes[label]


class Detector(Predictor):
    """A detector or instance segmentor of mmdet."""

    inferencer_type = ('mmdet.apis', 'DetInferencer')
    visualizer_type = 'DetLocalVisualizer'

    def set_meta(self, meta: Dict[str, list]) -> None:
        """Sets the ids of the categories, too."""
        super().set_meta(meta)
        self.category_ids = number_categories(self.classes)

    def unpack(self, batch: Any) -> Any:
        """Without the pictures themselves, which come first."""
        return batch[1]

    def convert(self, sample: Any, image: np.ndarray, window: Dict[str, Any]) -> Prediction:
        """Boxes as x, y, width and height in pixels, and masks as COCO's run-length encoding."""
        sample.pred_instances = sample.pred_instances[sample.pred_instances.scores > self.score]
        found = self.inferencer.pred2dict(sample)
        records = []
        for label, score, (left, top, right, bottom) in zip(found['labels'], found['scores'], found['bboxes']):
            record = dict(
                category_name=self.name(label),
                category_id=self.category_ids[label],
                bbox=[left, top, right - left, bottom - top],
                score=score,
            )
            records.append(record)
        for record, mask in zip(records, found.get('masks', [])):
            record['segmentation'] = mask
        (drawn,) = self.inferencer.visualize([image], [sample], return_vis=True, pred_score_thr=self.score, **window)
        return Prediction(records, drawn)


class Segmentor(Predictor):
    """A semantic segmentor of mmseg."""

    inferencer_type = ('mmseg.apis', 'MMSegInferencer')
    visualizer_type = 'SegLocalVisualizer'

    def convert(self, sample: Any, image: np.ndarray, window: Dict[str, Any]) -> Prediction:
        """A map of labels, and the names and colors, as RGB, of those that occur."""
        label_map = self.inferencer.postprocess([sample], None)['predictions']
        palette = self.inferencer.model.dataset_meta['palette']
        found = [
            dict(class_id=label, class_name=self.name(label), color=list(palette[label]))
            for label in np.unique(label_map).tolist()
        ]
        # Writing names into the picture takes mmseg several seconds a megapixel.
        (drawn,) = self.inferencer.visualize(
            [image], [sample], return_vis=True, opacity=0.5, with_labels=False, **window
        )
        return Prediction(
            [dict(classes=found)], drawn, label_map.astype(np.uint8 if len(self.classes) <= 256 else np.uint16)
        )


class Classifier(Predictor):
    """A classifier of mmpretrain."""

    inferencer_type = ('mmpretrain', 'ImageClassificationInferencer')
    visualizer_type = 'UniversalVisualizer'
    mixes_sizes = True  # Its pipeline crops all to one size.

    def build(self, inferencer: type, cfg: Config, device: str) -> Any:
        """The inferencer, whose visualizer is made when it first draws to a file."""
        from mmpretrain.visualization import UniversalVisualizer

        result = inferencer(cfg, pretrained=False, device=device)
        result.visualizer = UniversalVisualizer()
        return result

    def set_meta(self, meta: Dict[str, list]) -> None:
        """Sets the names only."""
        self.inferencer.classes = self.classes

    def convert(self, sample: Any, image: np.ndarray, window: Dict[str, Any]) -> Prediction:
        """The class with the highest score."""
        (found,) = self.inferencer.postprocess([sample], None)
        label = found['pred_label']
        record = dict(class_id=label, class_name=self.name(label), score=found['pred_score'])
        drawn = self.inferencer.visualizer.visualize_cls(image, sample, self.classes, draw_gt=False, **window)
        return Prediction([record], drawn)


PREDICTORS = {'mmdet': Detector, 'mmseg': Segmentor, 'mmpretrain': Classifier}


def build_predictor(cfg: Config, checkpoint: Path, device: str, score: float = 0.3, show: bool = False) -> Predictor:
    """The predictor for the toolbox that a config names as its ``default_scope``; see :class:`Predictor`."""
    init_default_scope(cfg.default_scope)
    return PREDICTORS[cfg.default_scope](cfg, checkpoint, device, score, show)


def number_categories(classes: List[str]) -> List[int]:
    """The ids of categories: COCO's own for its 80 classes, which leave gaps, or else 1, 2, ..."""
    from mmdet.datasets import CocoDataset

    is_coco = tuple(classes) == CocoDataset.METAINFO['classes']
    return (
        [number for number in range(1, 91) if number not in COCO_GAPS] if is_coco else list(range(1, len(classes) + 1))
    )


def _build_loader(cfg: Config) -> Loader:
    """The transform of the test pipeline that reads images.

    Raises:
        ValueError: There is none.
    """
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    for transform in dataset.get('pipeline') or ():
        if 'LoadImageFromFile' in str(transform.get('type')):
            return TRANSFORMS.build(transform)
    raise ValueError('test_dataloader.dataset.pipeline has no LoadImageFromFile; prediction needs it')


def _find_classes(cfg: Config, checkpoint: Dict[str, Any]) -> Tuple[List[str], List[List[int]]]:
    """The names and colors of the classes: those that the model was trained with, or else those of the test data.

    Raises:
        ValueError: The classes have no names.
    """
    meta = checkpoint.get('meta')
    saved = meta.get('dataset_meta') if isinstance(meta, dict) else None
    found = {str(key).lower(): value for key, value in saved.items()} if isinstance(saved, dict) else {}
    if not (found.get('classes') and found.get('palette')):
        dataset = DATASETS.build({**cfg.test_dataloader.dataset, 'lazy_init': True})
        found = {**dataset.metainfo, **{key: value for key, value in found.items() if value}}
    classes = found.get('classes')
    if not classes:
        raise ValueError(
            'neither the checkpoint nor the config names the classes; '
            "add metainfo=dict(classes=('first', 'second')) to test_dataloader.dataset"
        )
    classes = [classes] if isinstance(classes, str) else list(map(str, classes))
    palette = found.get('palette')
    if not isinstance(palette, (list, tuple)) or len(palette) < len(classes):
        palette = np.random.default_rng(0).integers(0, 256, (len(classes), 3)).tolist()
    return classes, list(palette[: len(classes)])
