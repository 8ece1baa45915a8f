import pytest
import torch
from conftest import ROOT
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from mmcontnet import ConTNet

CONFIGS = sorted(path.name for path in (ROOT / 'configs').glob('*.py'))
FINE_TUNING = {
    'model.backbone.init_cfg.type': 'Pretrained',
    'model.backbone.init_cfg.prefix': 'backbone.',
    'model.backbone.frozen_stages': 1,
    'model.backbone.norm_eval': True,
}


def detections():
    """Two images, each with an object."""
    samples = []
    for label in range(2):
        sample = DetDataSample(
            metainfo=dict(img_shape=(96, 128), ori_shape=(96, 128), pad_shape=(96, 128), scale_factor=(1, 1))
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.tensor([[10.0, 10.0, 70.0, 60.0]]), labels=torch.tensor([label])
        )
        samples.append(sample)
    return dict(inputs=[torch.randint(0, 256, (3, 96, 128), dtype=torch.uint8)] * 2, data_samples=samples)


@pytest.mark.parametrize('name', CONFIGS)
def test_trains_and_predicts(name, tmp_path):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    init_default_scope(cfg.default_scope)
    if 'cont' in name:
        torch.save({f'backbone.{key}': value for key, value in ConTNet().state_dict().items()}, tmp_path / 'cont.pth')
        cfg.merge_from_dict({**FINE_TUNING, 'model.backbone.init_cfg.checkpoint': str(tmp_path / 'cont.pth')})
    else:
        cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.train()
    data = model.data_preprocessor(detections(), training=True)
    losses, _ = model.parse_losses(model(**data, mode='loss'))
    losses.backward()
    assert losses.isfinite()
    assert [key for key, value in model.named_parameters() if value.requires_grad and value.grad is None] == []
    model.eval()
    with torch.no_grad():
        results = model.test_step(detections())
    assert len(results) == 2 and all('scores' in result.pred_instances for result in results)


@pytest.mark.parametrize('name', [name for name in CONFIGS if 'cont' in name])
def test_trains_from_scratch_as_it_stands(name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    assert cfg.sync_bn == 'torch'
    assert cfg.model.backbone == dict(type='ConTNet', arch='m')


def test_config_text_shows_only_the_difference():
    assert all(len((ROOT / 'configs' / name).read_text().splitlines()) < 15 for name in CONFIGS)
