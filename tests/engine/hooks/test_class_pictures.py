from types import SimpleNamespace

import cv2
import mmpretrain_env  # noqa: F401
import numpy as np
import pytest
import torch

from mmcontnet.engine.hooks import ClassPicturesHook


@pytest.fixture
def draw(tmp_path):
    """Draws three images of two classes, one at a time; returns the visualizer."""
    from mmpretrain.structures import DataSample
    from mmpretrain.visualization import UniversalVisualizer

    samples = []
    for name in ('cat/1.png', 'dog/1.png', 'dog/2.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.full((60, 80, 3), (255, 0, 0), np.uint8))  # Blue.
        sample = DataSample().set_gt_label(0).set_pred_label(1).set_pred_score(torch.tensor([0.2, 0.8]))
        sample.set_field(str(tmp_path / name), 'img_path', field_type='metainfo')
        samples.append(sample)

    def draw(**settings):
        hook = ClassPicturesHook(**settings)
        visualizer = UniversalVisualizer()
        visualizer.dataset_meta = dict(classes=['cat', 'dog'])
        runner = SimpleNamespace(visualizer=visualizer, iter=7)
        drawn = []
        visualizer.add_image = lambda name, image, step: drawn.append((name, step))
        for batch_idx, sample in enumerate(samples):
            hook.after_val_iter(runner, batch_idx, {}, [sample])
            hook.after_test_iter(runner, batch_idx, {}, [sample])
        return drawn

    return draw


def test_pictures_are_written_by_class_in_their_colors(draw, tmp_path):
    assert draw(enable=True, interval=1, out_dir=str(tmp_path / 'out')) == []
    paths = sorted(tmp_path.glob('out/*/*'))
    assert [str(path.relative_to(tmp_path / 'out')) for path in paths] == ['cat/1.png', 'dog/1.png', 'dog/2.png']
    assert cv2.imread(str(paths[0]))[-1, -1].tolist() == [255, 0, 0]


def test_backends_get_one_in_so_many(draw):
    assert draw(enable=True, interval=2) == [('cat/1.png', 7), ('cat/1.png', 0), ('dog/2.png', 7), ('dog/2.png', 0)]
    assert draw() == []
