from copy import deepcopy

import mmpretrain_env  # noqa: F401 (for the configs for ImageNet)
import pytest
from conftest import ROOT
from mmengine.config import Config

from mmcontnet.comparison.configs import find_differences, prepare_config, set_epochs


def load(name):
    return Config.fromfile(ROOT / 'configs' / f'{name}.py')


@pytest.mark.parametrize(
    'first, other',
    [
        ('retinanet_contm_coco', 'retinanet_r50_coco'),
        ('mask_rcnn_contm_cityscapes', 'mask_rcnn_r50_cityscapes'),
        ('pspnet_contm_cityscapes', 'pspnet_r50_cityscapes'),
        ('contm_strong_imagenet', 'r50_strong_imagenet'),
    ],
)
def test_own_configs_differ_in_the_model_alone(first, other):
    """And in what it starts from, where ResNet starts from ImageNet weights."""
    starts = [] if 'imagenet' in other else ["weights: 'random' and 'pretrained'"]
    assert find_differences(load(first), load(other)) == starts
    assert find_differences(load(first), Config.fromfile(ROOT / 'configs' / f'{first}.py')) == []


def test_differences_are_listed():
    first, other = load('retinanet_contm_coco'), load('retinanet_contm_coco')
    other.model.backbone.arch = 's'
    other.work_dir = 'elsewhere'
    other.custom_hooks = []
    assert find_differences(first, other) == []
    other.optim_wrapper.optimizer.lr = 0.02
    other.train_dataloader.dataset.pipeline[2].scale = (640, 400)
    other.param_scheduler.pop()
    other.custom_hooks = [dict(type='EMAHook')]
    assert find_differences(first, other) == [
        'train_dataloader.dataset.pipeline[2].scale[0]: 1333 and 640',
        'train_dataloader.dataset.pipeline[2].scale[1]: 800 and 400',
        'optim_wrapper.optimizer.lr: 0.01 and 0.02',
        'param_scheduler: [{...}, {...}] and [{...}]',
        'custom_hooks: None and [{...}]',
    ]


def test_files_of_the_same_content_are_no_difference(tmp_path):
    first, other = load('retinanet_contm_coco'), load('retinanet_contm_coco')
    for name, cfg in (('first', first), ('other', other)):
        cfg.val_evaluator.ann_file = str(tmp_path / name)
        (tmp_path / name).write_text('{}')
    assert find_differences(first, other) == []
    (tmp_path / 'other').write_text('[]')
    (line,) = find_differences(first, other)
    assert line.startswith('val_evaluator.ann_file: ')


def test_checkpoints_of_iterations_are_a_difference():
    """The data start in a new order at each."""
    first, other = load('pspnet_contm_cityscapes'), load('pspnet_contm_cityscapes')
    other.default_hooks.checkpoint.interval = 100
    assert find_differences(first, other) == ['default_hooks.checkpoint.interval: 4000 and 100']
    first, other = load('retinanet_contm_coco'), load('retinanet_contm_coco')
    other.default_hooks.checkpoint.interval = 100
    assert find_differences(first, other) == []


def test_schedule_is_stretched():
    cfg = load('retinanet_contm_coco')
    warm_up = deepcopy(cfg.param_scheduler[0])
    set_epochs(cfg, 3)
    assert cfg.train_cfg.max_epochs == 3
    assert cfg.param_scheduler[0] == warm_up  # In iterations.
    assert (cfg.param_scheduler[1].begin, cfg.param_scheduler[1].end) == (0, 3)
    assert cfg.param_scheduler[1].milestones == [2, 3]
    cfg = load('conts_imagenet')
    set_epochs(cfg, 400)
    assert (cfg.param_scheduler[0].end, cfg.param_scheduler[1].T_max) == (20, 400)
    set_epochs(cfg, 1)
    assert [(one.type, one.T_max) for one in cfg.param_scheduler] == [('CosineAnnealingLR', 1)]


WARM_UP = dict(type='LinearLR', end=5)
REST = dict(type='CosineAnnealingLR', begin=5, T_max=95)
CONVERTED = dict(convert_to_iter_based=True)


@pytest.mark.parametrize(
    'schedulers, epochs, expected',
    [
        ([WARM_UP, dict(REST, end=100)], 300, [dict(end=15), dict(begin=15, T_max=285, end=300)]),
        ([WARM_UP, REST], 40, [dict(end=2), dict(begin=2, T_max=38)]),
        # A warm-up by epochs that ends after its first would never end.
        ([WARM_UP, dict(REST, end=100)], 4, [dict(begin=1, T_max=3, end=4)]),
        ([dict(WARM_UP, **CONVERTED), dict(REST, end=100)], 4, [dict(end=1), dict(begin=1, T_max=3, end=4)]),
        ([dict(WARM_UP, **CONVERTED), dict(REST, **CONVERTED)], 1, [dict(begin=0, T_max=1)]),
        (
            [dict(type='LinearLR', begin=3, end=5, **CONVERTED), dict(type='StepLR', step_size=30)],
            4,
            [dict(step_size=1)],
        ),
        (dict(type='StepLR', step_size=30), 10, [dict(step_size=3)]),
        ([dict(type='PolyLR', begin=10), dict(type='PolyLR', end=1000)], 10, [dict(begin=1), dict(end=100)]),
        ([dict(type='CosineAnnealingLR', T_max=None)], 10, [dict(T_max=None)]),
        ([dict(type='CosineRestartLR', periods=[50, 50])], 10, [dict(periods=[5, 5])]),
        ([dict(type='LinearLR', end=0)], 10, [dict(end=0)]),  # mmengine refuses it.
    ],
)
def test_schedulers_fit_together(schedulers, epochs, expected):
    cfg = Config(dict(train_cfg=dict(max_epochs=100), param_scheduler=schedulers))
    set_epochs(cfg, epochs)
    names = ('type', 'convert_to_iter_based')
    assert [{key: one[key] for key in one if key not in names} for one in cfg.param_scheduler] == expected


def test_each_epoch_leaves_a_checkpoint():
    path = str(ROOT / 'configs/retinanet_contm_coco.py')
    cfg = prepare_config(path, {'default_hooks.checkpoint.interval': 12, 'model.backbone.arch': 's'}, None)
    assert (cfg.default_hooks.checkpoint.interval, cfg.default_hooks.checkpoint.max_keep_ckpts) == (1, 1)
    assert cfg.model.backbone.arch == 's'
    hook = dict(by_epoch=False, interval=500)
    cfg = prepare_config(path, {f'default_hooks.checkpoint.{key}': value for key, value in hook.items()}, None)
    assert (cfg.default_hooks.checkpoint.interval, cfg.default_hooks.checkpoint.by_epoch) == (1, True)
    path = str(ROOT / 'configs/pspnet_contm_cityscapes.py')
    assert prepare_config(path, {}, None).default_hooks.checkpoint.interval == 4000
    cfg = prepare_config(path, dict(default_hooks=None, log_processor=None), None)
    assert cfg.default_hooks.logger == dict(type='LoggerHook', log_metric_by_epoch=False)
    assert cfg.log_processor.by_epoch is False
    with pytest.raises(ValueError, match=r'counts iterations; use --cfg-options train_cfg\.max_iters=N'):
        prepare_config(path, {}, 3)
    with pytest.raises(ValueError, match='sets no train_dataloader and no test_dataloader'):
        prepare_config(path, dict(train_dataloader=None, test_dataloader=None), None)
