"""Both forms of the operators against mmcv's."""

import numpy as np
import onnxruntime
import pytest
import torch
from mmcv.ops import RoIAlign, nms

from mmcontnet.export.operators import ONNX, TORCH, TRANSLATIONS, roi_align, suppress

DYNAMIC = torch.export.Dim.DYNAMIC


def random_boxes(*shape):
    corners = 100 * torch.rand(*shape, 2)
    return torch.cat([corners, corners + 40 * torch.rand(*shape, 2)], -1)


def random_scores(*shape):
    """Some boxes are to be left out."""
    scores = torch.randn(*shape)
    return torch.where(scores > -1, scores, -torch.inf)


class Both(torch.nn.Module):
    def __init__(self, operators):
        super().__init__()
        self.operators = operators

    def forward(self, boxes, scores, features):
        kept = self.operators.suppress(boxes, scores, 0.5, 40)
        return kept, self.operators.roi_align(features, boxes[0], 4, 7)


@pytest.fixture
def inputs():
    return random_boxes(2, 200), random_scores(2, 200), torch.randn(1, 8, 30, 40)


@pytest.fixture
def expected(inputs):
    """By mmcv: the best 40 boxes of an image keep their scores, and the features of the first image's boxes."""
    boxes, scores, features = inputs
    kept = torch.full_like(scores, -torch.inf)
    for number in range(2):
        valid = (scores[number] > -torch.inf).nonzero()[:, 0]
        index = valid[nms(boxes[number][valid], scores[number][valid], 0.5)[1][:40]]
        kept[number, index] = scores[number, index]
    rois = torch.cat([torch.zeros(200, 1), boxes[0]], 1)
    return kept, RoIAlign(7, 1 / 4, 0, aligned=True)(features, rois)


def assert_close(actual, expected):
    for one, other in zip(actual, expected):
        np.testing.assert_allclose(np.asarray(one), other.numpy(), atol=1e-4)  # Of coordinates up to 140.


def test_suppression_and_features_are_those_of_mmcv(inputs, expected):
    assert_close(Both(TORCH)(*inputs), expected)


@pytest.mark.parametrize('count', [1, 3])
def test_suppression_keeps_the_best(count):
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60], [80, 80, 90, 90]])[None]
    kept = suppress(boxes, torch.tensor([[0.5, 0.6, 0.9, 0.1]]), 0.5, count)
    expected = torch.tensor([[-torch.inf, 0.6 if count > 1 else -torch.inf, 0.9, 0.1 if count > 2 else -torch.inf]])
    assert torch.equal(kept, expected)


def test_nothing_is_kept_where_all_boxes_are_left_out():
    nothing = torch.full((1, 5), -torch.inf)
    assert torch.equal(suppress(random_boxes(1, 5), nothing, 0.5, 3), nothing)


def test_boxes_outside_of_the_map_and_empty_ones():
    boxes = torch.tensor([[-50.0, -50, -10, -10], [-20, 5, 300, 7], [0, 0, 0, 0], [100, 30, 100, 60], [3, 3, 4, 400]])
    features = torch.randn(1, 4, 12, 17)
    expected = RoIAlign(3, 1 / 8, 0, aligned=True)(features, torch.cat([torch.zeros(5, 1), boxes], 1))
    torch.testing.assert_close(roi_align(features, boxes, 8, 3), expected)


@pytest.mark.slow
def test_onnx_operators_are_those_of_mmcv(inputs, expected, tmp_path):
    dynamic = ({0: DYNAMIC, 1: DYNAMIC}, {0: DYNAMIC, 1: DYNAMIC}, {2: DYNAMIC, 3: DYNAMIC})
    other = [random_boxes(3, 70), random_scores(3, 70), torch.randn(1, 8, 9, 11)]
    program = torch.export.export(Both(ONNX), tuple(other), dynamic_shapes=dynamic)
    onnx = torch.onnx.export(program, dynamo=True, custom_translation_table=TRANSLATIONS, verbose=False)
    onnx.save(tmp_path / 'both.onnx')
    session = onnxruntime.InferenceSession(tmp_path / 'both.onnx', providers=['CPUExecutionProvider'])
    names = [value.name for value in session.get_inputs()]
    assert_close(session.run(None, dict(zip(names, map(np.asarray, inputs)))), expected)


@pytest.mark.slow
def test_operators_of_torch_alone_are_saved_and_loaded(inputs, expected, tmp_path):
    program = torch.export.export(Both(TORCH), inputs)
    assert 'mmcontnet' not in str(program.graph)
    torch.export.save(program, tmp_path / 'both.pt2')
    assert_close(torch.export.load(tmp_path / 'both.pt2').module()(*inputs), expected)
