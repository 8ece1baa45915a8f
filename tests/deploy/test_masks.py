import numpy as np
import pytest
import torch
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

from mmcontnet.deploy.masks import paste_masks

BOXES = [[10.2, 5.5, 60.7, 40.1], [-20.0, -10.0, 30.5, 90.0], [0, 0, 100, 80], [50, 50, 50.4, 50.3], [99.2, 3, 140, 9]]


@pytest.mark.parametrize('cells', [7, 28])
def test_masks_are_those_of_mmdet(cells):
    boxes, masks = torch.tensor(BOXES), torch.rand(5, cells, cells)
    pasted = paste_masks(masks.numpy(), boxes.numpy(), (80, 100), 0.5)
    for mask, box, found in zip(masks, boxes, pasted):
        expected, _ = _do_paste_mask(mask[None, None], box[None], 80, 100, skip_empty=False)
        near = (expected[0] - 0.5).abs() < 1e-5  # Where rounding decides.
        assert np.array_equal(found | near.numpy(), (expected[0] >= 0.5).numpy() | near.numpy())


def test_empty_box_has_no_mask():
    assert paste_masks(np.ones((1, 4, 4), np.float32), np.array([[5.0, 5, 5, 5]]), (10, 10), 0.5).sum() == 0


def test_no_masks():
    assert paste_masks(np.ones((0, 4, 4), np.float32), np.zeros((0, 4)), (10, 12), 0.5).shape == (0, 10, 12)
