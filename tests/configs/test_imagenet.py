"""ConTNet in mmpretrain: the configs on ImageNet, the authors' weights, and a run on a few drawn images."""

import sys

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from helpers import run
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, PARAM_SCHEDULERS, DefaultScope
from mmpretrain_env import ENV

from mmcontnet import toolboxes
from mmcontnet.engine import entry_points
from mmcontnet.evaluation.published import load_tables
from mmcontnet.stacks import distribution_of
from mmcontnet.weights.official import convert_official, infer_settings

PARAMETERS = dict(contti=5.89, conts=10.10, contm=19.54, contb=36.04, r18=11.69, r50=25.56, r101=44.55)
CONFIGS = sorted(path.stem for path in (ROOT / 'configs').glob('*_imagenet.py'))
DENSE = sorted(path.name for path in (ROOT / 'configs').glob('*_contm_pretrained_*.py'))

# With fewer than 16 channels oneDNN's gradient of the strided shortcuts writes past its memory (its issue 6035).
ARCH = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(16, 16, 16, 16))
GRAYS = dict(black=0, dark=60, light=120, pale=180, white=240)
TINY = f"""
_base_ = '{ROOT}/configs/contm_strong_imagenet.py'
model = dict(backbone=dict(arch=dict(_delete_=True, **{ARCH})), head=dict(in_channels=256, num_classes=5))
data_preprocessor = dict(num_classes=5)
train_dataloader = dict(
    batch_size=5, num_workers=0, persistent_workers=False, dataset=dict(data_root='data', classes={sorted(GRAYS)})
)
val_dataloader = test_dataloader = train_dataloader
train_cfg = dict(max_epochs=1)
"""


def load(name):
    return Config.fromfile(ROOT / 'configs' / f'{name}.py')


def build(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build({'data_preprocessor': cfg.data_preprocessor, **cfg.model})


def batch(size):
    from mmpretrain.structures import DataSample

    inputs = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in range(size)]
    return dict(inputs=inputs, data_samples=[DataSample().set_gt_label(label) for label in range(size)])


def test_every_published_row_has_its_config():
    rows = {row.config for table in load_tables() for row in table.rows if row.config.endswith('_imagenet')}
    assert sorted(rows) == CONFIGS


@pytest.mark.parametrize('name', CONFIGS)
@pytest.mark.slow
def test_model(name):
    cfg = load(name)
    model = build(cfg)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e6, 2) == PARAMETERS[name.split('_')[0]]
    loss = model(**model.data_preprocessor(batch(2), training=True), mode='loss')['loss']
    assert loss.isfinite()
    strong = 'strong' in name
    assert ('RandAugment' in [transform.type for transform in cfg.train_dataloader.dataset.pipeline]) == strong
    assert (model.data_preprocessor.batch_augments is not None) == strong
    assert getattr(model.head.loss_module, 'label_smooth_val', 0) == (0.1 if strong else 0)
    assert cfg.val_evaluator == dict(type='Accuracy', topk=(1, 5), _scope_='mmpretrain')


@pytest.mark.parametrize('name, position', [('conts', 'absolute'), ('conts', 'relative'), ('r18', None)])
@pytest.mark.slow
def test_norms_biases_and_positions_do_not_decay(name, position):
    cfg = load(f'{name}_imagenet')
    if position:
        cfg.model.backbone.position = position
    model = build(cfg)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    decays = {id(value): group['weight_decay'] for group in optimizer.param_groups for value in group['params']}
    parameters = dict(model.named_parameters())
    assert len(decays) == len(parameters)
    for key, value in parameters.items():
        assert decays[id(value)] == (0 if value.dim() == 1 or '.position.' in key else 0.5), key


@pytest.mark.parametrize('name', CONFIGS)
def test_recipe(name):
    cfg = load(name)
    assert cfg.train_cfg.max_epochs == 200 and cfg.auto_scale_lr.base_batch_size == 512
    assert cfg.train_dataloader.batch_size == 64
    train, val = (
        {transform.type: transform for transform in loader.dataset.pipeline}
        for loader in (cfg.train_dataloader, cfg.val_dataloader)
    )
    assert train['RandomResizedCrop'].scale == 224
    assert (val['ResizeEdge'].scale, val['CenterCrop'].crop_size) == (256, 224)
    if 'strong' in name:
        augments = [(augment.type, augment.alpha) for augment in cfg.data_preprocessor.batch_augments.augments]
        assert augments == [('Mixup', 0.8), ('CutMix', 1.0)]
        augment = train['RandAugment']
        assert (augment.magnitude_level, augment.magnitude_std, augment.num_policies) == (9, 0.5, 2)


def test_learning_rate():
    cfg = load('conts_imagenet')
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=cfg.optim_wrapper.optimizer.lr)
    per_epoch = 4
    schedulers = [
        PARAM_SCHEDULERS.build(scheduler, default_args=dict(optimizer=optimizer, epoch_length=per_epoch))
        for scheduler in cfg.param_scheduler
    ]
    rates = []
    for _ in range(cfg.train_cfg.max_epochs * per_epoch):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    epochs = np.arange(len(rates)) / per_epoch
    cosine = 5e-4 * (1 + np.cos(np.pi * epochs / 200)) / 2
    np.testing.assert_allclose(rates[40:], cosine[40:], rtol=1e-6)
    assert rates[0] == pytest.approx(5e-7)
    assert np.all(np.diff(rates[:40]) > 0)


@pytest.mark.parametrize('index', range(4))
def test_logits_equal_the_release(golden, index):
    case = golden['cases'][index]
    weights = convert_official(case['state_dict'])
    cfg = load('_base_/contnet_classifier')
    cfg.data_preprocessor = dict(mean=[127.5] * 3, std=[58] * 3)
    cfg.model.backbone.update(infer_settings(weights), pre_norm=case['settings']['pre_norm'])
    cfg.model.head.update(num_classes=case['settings']['num_classes'], in_channels=weights['head.fc.weight'].shape[1])
    model = build(cfg).eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        logits = model(**model.data_preprocessor(dict(inputs=golden['images'])))
    torch.testing.assert_close(logits, case['logits'], rtol=1e-5, atol=1e-5 * case['logits'].abs().max().item())


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """A folder as a user would have it: images in folders of their classes, a config, and a run of a single epoch."""
    folder = tmp_path_factory.mktemp('project')
    rng = np.random.default_rng(0)
    for split, count in (('train', 2), ('val', 1)):
        for name, value in GRAYS.items():
            (folder / 'data' / split / name).mkdir(parents=True)
            for number in range(count):
                image = value + rng.integers(0, 16, (60, 80, 3), np.uint8)
                cv2.imwrite(str(folder / 'data' / split / name / f'{number}.png'), image)
    (folder / 'tiny.py').write_text(TINY)
    run(sys.executable, ROOT / 'tools/train.py', 'tiny.py', '--work-dir', 'run', cwd=folder, **ENV)
    return folder


@pytest.mark.e2e
def test_trained_classifier_is_evaluated(project):
    command = [sys.executable, ROOT / 'tools/test.py', 'tiny.py', 'run/epoch_1.pth', '--work-dir', 'run']
    output = run(*command, '--show-dir', 'pictures', cwd=project, **ENV)
    assert 'accuracy/top1: ' in output and 'accuracy/top5: 100.0' in output
    pictures = sorted(path.relative_to(project / 'pictures') for path in project.glob('pictures/*/*'))
    assert pictures == sorted(path.relative_to(project / 'data/val') for path in project.glob('data/val/*/*'))


@pytest.mark.parametrize('name', DENSE)
@pytest.mark.e2e
def test_dense_config_takes_the_trained_backbone(project, name):
    cfg = Config.fromfile(ROOT / 'configs' / name)
    cfg.model.backbone.arch = ARCH
    checkpoint = f'{project}/run/epoch_1.pth'
    cfg.model.backbone.init_cfg.checkpoint = checkpoint
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    trained = torch.load(checkpoint, weights_only=True)['state_dict']
    weights = {key[len('backbone.') :]: value for key, value in trained.items() if key.startswith('backbone.')}
    assert weights.keys() == backbone.state_dict().keys()
    assert all(torch.equal(value, weights[key]) for key, value in backbone.state_dict().items())


def test_torchvision_of_another_torch_says_what_to_install(monkeypatch):
    def import_module(name):
        raise RuntimeError('operator torchvision::nms does not exist')

    monkeypatch.setattr(toolboxes, 'import_module', import_module)
    config = str(ROOT / 'configs/conts_imagenet.py')
    monkeypatch.setattr(sys, 'argv', ['train.py', config])
    with pytest.raises(ValueError) as error:
        entry_points.run_entry_point('train.py', '')
    assert 'mmpretrain cannot be imported: RuntimeError: operator torchvision::nms does not exist' in str(error.value)
    assert f'pip install --upgrade {distribution_of("mmpretrain")} torchvision torch==' in str(error.value)


def test_missing_toolbox_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / 'config.py').write_text("_base_ = 'mmrotate::_base_/default_runtime.py'")
    monkeypatch.setattr(sys, 'argv', ['train.py', str(tmp_path / 'config.py')])
    with pytest.raises(ValueError, match='mmrotate is not installed'):
        entry_points.run_entry_point('train.py', '')


@pytest.mark.parametrize(
    'torch_version, index',
    [
        ('2.13.0', []),
        ('2.5.1+cu121', ['--extra-index-url', 'https://download.pytorch.org/whl/cu121']),
    ],
)
def test_torchvision_comes_from_where_torch_came(monkeypatch, torch_version, index):
    monkeypatch.setattr(toolboxes, 'version', lambda package: torch_version)
    expected = [distribution_of('mmpretrain'), 'torchvision', f'torch=={torch_version}', *index]
    assert toolboxes.mmpretrain_requirements() == expected
