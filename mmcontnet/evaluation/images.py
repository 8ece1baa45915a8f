"""Metrics of some of the images of a test, some of them several times: for a bootstrap, and for single images."""

import tempfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.fileio import load

Evaluation = Callable[[Sequence[int]], Dict[str, float]]


def evaluate_by_image(metric: BaseMetric, results: List[Any]) -> Evaluation:
    """What maps indices of images to the metric's values on these images.

    Args:
        metric (BaseMetric): A metric that has evaluated the results.
        results (list): What it kept of each image.
    """
    if type(metric).__name__ == 'CocoMetric':
        return CocoImages(metric, results)
    prefix = f'{metric.prefix}/' if metric.prefix else ''
    return lambda indices: {
        f'{prefix}{name}': value for name, value in metric.compute_metrics([results[i] for i in indices]).items()
    }


class CocoImages:
    """COCO's AP of some images: each is matched once with its ground truth, as pycocotools does.

    Args:
        metric (CocoMetric): A metric that has evaluated the results.
        results (list): What it kept of each image: ground truth and prediction.
    """

    def __init__(self, metric: BaseMetric, results: List[Any]) -> None:
        from mmdet.datasets.api_wrappers import COCOeval

        predictions = [prediction for _, prediction in results]
        ids = [prediction['img_id'] for prediction in predictions]
        order = np.argsort(ids)  # pycocotools sorts them.
        self.position = np.argsort(order)
        self.kinds = [kind for kind in metric.metrics if kind in ('bbox', 'segm')]
        self.evaluations = {}
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
            files = metric.results2json(predictions, str(Path(folder, 'results')))
            for kind in self.kinds:
                detections = load(files[kind])
                for detection in detections if kind == 'segm' else ():
                    detection.pop('bbox')  # Or its area counts instead of the mask's.
                if not detections:
                    continue
                evaluation = COCOeval(metric._coco_api, metric._coco_api.loadRes(detections), kind)
                evaluation.params.catIds = metric.cat_ids
                evaluation.params.imgIds = ids
                evaluation.params.iouThrs = metric.iou_thrs
                evaluation.params.maxDets = [metric.proposal_nums[0]]
                evaluation.params.areaRng = evaluation.params.areaRng[:1]
                evaluation.evaluate()
                grid = np.empty(len(evaluation.evalImgs), object)
                grid[:] = evaluation.evalImgs
                self.evaluations[kind] = evaluation, grid.reshape(-1, len(ids))  # (categories, images)

    def __call__(self, indices: Sequence[int]) -> Dict[str, float]:
        """AP of images, NaN where there is no object on them; 0 where no image of the test has detections."""
        values = {f'coco/{kind}_mAP': 0.0 for kind in self.kinds}
        for kind, (evaluation, grid) in self.evaluations.items():
            evaluation.evalImgs = grid[:, self.position[np.asarray(indices)]].ravel().tolist()
            evaluation.params.imgIds = evaluation._paramsEval.imgIds = list(range(len(indices)))
            with redirect_stdout(StringIO()):
                evaluation.accumulate()
            precision = evaluation.eval['precision']
            found = precision[precision > -1]
            values[f'coco/{kind}_mAP'] = float(found.mean()) if found.size else float('nan')
        return values
