"""Running commands, and the toolboxes' models on tiny batches."""

import os
import subprocess

import torch
from mmdet.testing import demo_mm_inputs
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample


def run(*command, cwd, status=0, timeout=300, **env):
    """What a command prints; it must end well, or badly where a status is given."""
    result = subprocess.run(
        list(map(str, command)), cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=timeout
    )
    output = result.stdout + result.stderr
    assert (result.returncode == 0) == (status == 0), output[-3000:]
    return output


def make_light(config):
    """Lets a config's model run on one process, batch norms too, and with few boxes from step to step."""
    if isinstance(config, dict):
        if config.get('type') == 'SyncBN':
            config['type'] = 'BN'
        if config.get('type') in ('RandomSampler', 'CombinedSampler'):
            config['num'] = 16
        if 'max_per_img' in config:
            config['max_per_img'] = 20
        for value in config.values():
            make_light(value)
    elif isinstance(config, (list, tuple)):
        for value in config:
            make_light(value)


def detection_batch(num_classes):
    """Two images of different sizes with boxes and masks."""
    return demo_mm_inputs(2, [[3, 128, 128], [3, 125, 130]], num_classes=num_classes, with_mask=True)


def segmentation_batch(num_classes=19, size=(64, 128)):
    """Two images with a class for each pixel."""
    samples = [SegDataSample(metainfo=dict(img_shape=size, ori_shape=size)) for _ in range(2)]
    for sample in samples:
        sample.gt_sem_seg = PixelData(data=torch.randint(0, num_classes, (1, *size)))
    return dict(inputs=[torch.randint(0, 256, (3, *size), dtype=torch.uint8) for _ in range(2)], data_samples=samples)


def train_and_predict(model, batch):
    """A training step's backward pass and a prediction; returns the predictions."""
    model.train()
    data = model.data_preprocessor(batch, training=True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    assert loss.isfinite()
    loss.backward()
    missing = [name for name, value in model.backbone.named_parameters() if value.requires_grad and value.grad is None]
    assert missing == []
    model.eval()
    with torch.no_grad():
        results = model.test_step(batch)
    assert len(results) == 2
    return results
