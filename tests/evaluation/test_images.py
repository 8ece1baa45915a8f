import json

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmengine.logging import MMLogger
from mmseg.evaluation import IoUMetric
from pycocotools import mask as coco_mask

from mmcontnet.evaluation.images import evaluate_by_image

COUNT = 8
# Not in ascending order.
IDS = [11, 3, 7, 5, 2, 19, 13, 1]


def make_coco(path, ids):
    """Ground truth of images with random boxes of two classes, and predictions near them; equal for equal ids."""
    images, annotations, predictions = [], [], []
    for number, source in enumerate(ids):
        rng = np.random.default_rng(source)
        count = rng.integers(1, 4)
        corners = rng.uniform(0, 50, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(10, 40, (count, 2))], 1)
        labels = rng.integers(0, 2, count)
        name = source if len(set(ids)) == len(ids) else number
        images.append(dict(id=int(name), width=100, height=100, file_name=f'{name}.jpg'))
        for (left, top, right, bottom), label in zip(boxes, labels):
            box = [left, top, right - left, bottom - top]
            area = box[2] * box[3]
            common = dict(id=len(annotations) + 1, image_id=int(name), iscrowd=0)
            polygon = [[left, top, right, top, right, bottom, left, bottom]]
            annotations.append(dict(**common, category_id=int(label) + 1, bbox=box, area=area, segmentation=polygon))
        found = boxes + rng.normal(0, 3, boxes.shape)
        shifted = found + 2  # Masks differ from boxes, and so do their APs.
        masks = coco_mask.frPyObjects([[a, b, c, b, c, d, a, d] for a, b, c, d in shifted.tolist()], 100, 100)
        guessed = np.where(rng.random(count) < 0.7, labels, 1 - labels)
        scores = rng.random(count)
        predictions.append(dict(img_id=int(name), bboxes=found, labels=guessed, scores=scores, masks=masks))
    categories = [dict(id=1, name='a'), dict(id=2, name='b')]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    metric = CocoMetric(str(path), ['bbox', 'segm'])
    metric.dataset_meta = dict(classes=('a', 'b'))
    return metric, [({}, prediction) for prediction in predictions]


@pytest.fixture(autouse=True)
def logger():
    MMLogger.get_instance('test', log_level='ERROR')


@pytest.mark.parametrize('indices', [range(COUNT), [1], [0, 0, 5, 3, 3, 3, 7, 1]])
def test_ap_of_some_images_is_that_of_a_data_set_of_them(tmp_path, indices):
    metric, results = make_coco(tmp_path / 'all.json', IDS)
    metric.compute_metrics(results)
    evaluate = evaluate_by_image(metric, results)
    some, some_results = make_coco(tmp_path / 'some.json', [IDS[index] for index in indices])
    expected = some.compute_metrics(some_results)
    for _ in range(2):
        for name, value in evaluate(indices).items():
            assert value == pytest.approx(expected[name.replace('coco/', '')], abs=5e-4)
    assert 0 < expected['bbox_mAP'] != expected['segm_mAP'] > 0


def test_test_without_detections_has_no_ap(tmp_path):
    metric, results = make_coco(tmp_path / 'all.json', IDS)
    metric.compute_metrics(results)
    nothing = dict(bboxes=np.zeros((0, 4)), labels=np.zeros(0, int), scores=np.zeros(0), masks=[])
    results = [({}, dict(prediction, **nothing)) for _, prediction in results]
    assert evaluate_by_image(metric, results)(range(COUNT)) == {'coco/bbox_mAP': 0.0, 'coco/segm_mAP': 0.0}


def test_segmentation_of_some_images():
    """Classes of right, found and true pixels are summed over the images."""
    metric = IoUMetric()
    metric.dataset_meta = dict(classes=('a', 'b'))
    right, union = torch.tensor([[4.0, 1], [2, 2]]), torch.tensor([[8.0, 2], [4, 4]])
    evaluate = evaluate_by_image(metric, [(right[i], union[i], union[i], union[i]) for i in range(2)])
    assert [evaluate(indices)['mIoU'] for indices in ([0], [1], [0, 1])] == [50, 50, 50]
    union[1, 0] = 8
    assert evaluate([0, 1])['mIoU'] == pytest.approx(100 * (6 / 16 + 3 / 6) / 2, abs=5e-3)
    assert evaluate([1, 1])['mIoU'] == pytest.approx(100 * (4 / 16 + 4 / 8) / 2, abs=5e-3)
