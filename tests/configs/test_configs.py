import pytest
import torch
from conftest import ROOT
from helpers import detection_batch, make_light, segmentation_batch, train_and_predict
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmcontnet import ConTNet

PATHS = sorted((ROOT / 'configs').glob('*.py'))
CONFIGS = [path.name for path in PATHS if not path.name.endswith('_imagenet.py')]
CONTNETS = [name for name in CONFIGS if '_cont' in name]
PRETRAINED = [name for name in CONTNETS if '_pretrained_' in name]
FROM_SCRATCH = [name for name in CONTNETS if '_pretrained_' not in name]


# Those from random weights differ by the backbone's arguments only.
@pytest.mark.parametrize('name', [name for name in CONFIGS if name not in FROM_SCRATCH])
@pytest.mark.slow
def test_trains_and_predicts(name, tmp_path, monkeypatch):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    if name in PRETRAINED:
        weights = {f'backbone.{key}': value for key, value in ConTNet().state_dict().items()}
        monkeypatch.chdir(tmp_path)
        (tmp_path / 'checkpoints').mkdir()
        torch.save({'state_dict': weights}, 'checkpoints/contm.pth')
    else:
        cfg.model.backbone.init_cfg = None
        cfg.model.pop('pretrained', None)
    make_light(cfg.model)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        if cfg.default_scope == 'mmseg':
            cfg.model.data_preprocessor.size = (64, 128)
            batch = segmentation_batch()
        else:
            batch = detection_batch(8 if 'cityscapes' in name else 80)
        model = MODELS.build(cfg.model)
        model.init_weights()
        if name in PRETRAINED:
            key = 'stages.3.1.conv.weight'
            assert torch.equal(model.backbone.state_dict()[key], weights[f'backbone.{key}'])
        train_and_predict(model, batch)
        if name in PRETRAINED:
            trained = {name.split('.')[1] for name, value in model.backbone.named_parameters() if value.requires_grad}
            assert trained == {'1', '2', '3'}  # Neither the stem nor the first stage.


def test_every_config_from_scratch_has_a_pretrained_one():
    assert sorted(name.replace('_contm_', '_contm_pretrained_') for name in FROM_SCRATCH) == PRETRAINED


@pytest.mark.parametrize('name', PRETRAINED)
def test_fine_tuning_is_all_that_differs(name):
    tuned, scratch = (Config.fromfile(ROOT / 'configs' / part) for part in (name, name.replace('_pretrained', '')))
    weights = dict(type='Pretrained', checkpoint='checkpoints/contm.pth', prefix='backbone.')
    fine_tuning = dict(init_cfg=weights, frozen_stages=1, norm_eval=True)
    assert tuned.pop('fine_tuning') == fine_tuning
    assert {key: tuned.model.backbone.pop(key) for key in fine_tuning} == fine_tuning
    assert tuned.to_dict() == scratch.to_dict()


@pytest.mark.parametrize('name', FROM_SCRATCH)
def test_trains_from_scratch_as_it_stands(name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    assert cfg.sync_bn == 'torch' and cfg.get('load_from') is None and cfg.model.get('pretrained') is None
    assert cfg.model.backbone.type == 'ConTNet' and 'init_cfg' not in cfg.model.backbone
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.mean == [123.675, 116.28, 103.53] and preprocessor.std == [58.395, 57.12, 57.375]
    assert preprocessor.bgr_to_rgb


@pytest.mark.parametrize('name', FROM_SCRATCH)
@pytest.mark.slow
def test_keeps_the_recipe_of_its_baseline(name):
    cfg, baseline = (Config.fromfile(ROOT / 'configs' / part) for part in (name, name.replace('_contm', '_r50')))
    for key in ('optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'val_evaluator', 'auto_scale_lr'):
        assert cfg.get(key) == baseline.get(key)


@pytest.mark.parametrize('name', [name for name in CONFIGS if name.startswith('mask_rcnn')])
def test_learning_rate_is_scaled_from_the_batch_that_it_is_for(name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    assert cfg.optim_wrapper.optimizer.lr / cfg.auto_scale_lr.base_batch_size == 0.02 / 16


def test_pspnet_is_built_at_output_stride_8():
    backbone = MODELS.build(Config.fromfile(ROOT / 'configs/pspnet_contm_cityscapes.py').model.backbone)
    assert backbone.out_strides == (4, 8, 8, 8)
    assert [stage[0].conv.dilation for stage in backbone.stages] == [(n, n) for n in (1, 1, 2, 4)]
    assert [stage[-1].conv.stride for stage in backbone.stages] == [(n, n) for n in (2, 1, 1, 1)]


def test_config_text_shows_only_the_difference():
    assert all(len(path.read_text().splitlines()) < 15 for path in PATHS)
