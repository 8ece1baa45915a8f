"""Exported models on the test data of their config."""

from pathlib import Path
from typing import Any, List

import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from mmengine.runner import Runner
from mmengine.structures import InstanceData, PixelData

from ..deploy import Detections, LabelMap, Predictor
from ..deploy.description import read_description
from ..messages import one_line


@MODELS.register_module()
class ExportedModel(BaseModel):
    """An exported model in a test of mmdet, mmseg or mmpretrain; it reads and resizes the pictures itself.

    Args:
        folder (str): What ``tools/export.py`` wrote.

    Raises:
        ValueError: There is no model that can be run.
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.predictor = Predictor(folder)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'predict') -> List[Any]:
        """Not used."""
        raise NotImplementedError

    def test_step(self, data: Any) -> List[Any]:
        """Puts the predictions into the data samples of a batch."""
        samples = data['data_samples']
        if self.predictor.description.task == 'detection':
            from mmdet.models.utils.misc import samplelist_boxtype2tensor  # mmdet may be missing.

            samplelist_boxtype2tensor(samples)  # As the detector's preprocessing does; what draws wants tensors.
        for sample in samples:
            self.fill(sample, self.predictor(sample.img_path))
        return samples

    def fill(self, sample: Any, prediction: Any) -> None:
        """Puts a prediction into a toolbox's data sample."""
        if isinstance(prediction, Detections):
            found = InstanceData(
                bboxes=torch.from_numpy(prediction.boxes),
                scores=torch.from_numpy(prediction.scores),
                labels=torch.from_numpy(prediction.labels),
            )
            if prediction.masks is not None:
                found.masks = torch.from_numpy(prediction.masks)
            sample.pred_instances = found
        elif isinstance(prediction, LabelMap):
            sample.pred_sem_seg = PixelData(data=torch.from_numpy(prediction.label_map).long()[None])
        else:
            scores = torch.empty(len(prediction.labels))
            scores[torch.from_numpy(prediction.labels)] = torch.from_numpy(prediction.scores)
            sample.set_pred_score(scores).set_pred_label(int(prediction.labels[0]))


def evaluate(cfg: Config, folder: Path, hooks: List[str]) -> None:
    """Evaluates an exported model on the test data of a config.

    Args:
        cfg (Config): The config, with a ``work_dir``.
        folder (Path): The exported model.
        hooks (list[str]): Types of hooks that the test gets.

    Raises:
        ValueError: There is no model that can be run, or it was exported with a config for another model or other
            classes.
    """
    description = read_description(folder)
    exported = Config.fromstring(description.config, '.py').model.type
    if exported.rpartition('.')[2] != cfg.model.type.rpartition('.')[2]:
        raise ValueError(f'{folder} holds a {exported}, the config is for a {cfg.model.type}')
    cfg.model = dict(type='mmengine.ExportedModel', folder=str(folder))
    cfg.pop('data_preprocessor', None)  # mmengine would hand it to the model.
    cfg.load_from = None
    cfg.custom_hooks = [*(cfg.get('custom_hooks') or ()), *(dict(type=f'mmengine.{hook}') for hook in hooks)]
    runner = Runner.from_cfg(cfg)
    runner.cfg.load_from = str(folder)  # What hooks call the model.
    classes = list(runner.test_loop.dataloader.dataset.metainfo.get('classes', ()))
    if classes != description.classes:
        found, expected = (one_line(', '.join(names)) for names in (description.classes, classes))
        raise ValueError(f'{folder} finds {found}; the classes of the test data are {expected}')
    runner.test()
