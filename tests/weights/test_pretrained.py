import logging
from pathlib import Path

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import PretrainedInit

from mmcontnet import ConTNet
from mmcontnet.weights.pretrained import check_files, load_pretrained


@pytest.fixture
def save(tmp_path):
    def save(content):
        torch.save(content, tmp_path / 'weights.pth')
        return str(tmp_path / 'weights.pth')

    return save


def init(path, prefix=None, **settings):
    init_cfg = dict(type='Pretrained', checkpoint=path, **({'prefix': prefix} if prefix else {}))
    model = ConTNet(**settings, init_cfg=init_cfg)
    model.init_weights()
    return model


def prefixed(model, prefix='backbone.'):
    return {f'{prefix}{key}': value for key, value in model.state_dict().items()}


@pytest.mark.parametrize('prefix', [None, 'backbone.', 'backbone'])
def test_loads(tiny, save, prefix):
    source = ConTNet(**tiny)
    weights = prefixed(source) if prefix else source.state_dict()
    extra = {'head.fc.weight': torch.zeros(2)} if prefix else {}
    for content in ({**weights, **extra}, {'state_dict': {**weights, **extra}}):
        model = init(save(content), prefix, **tiny)
        assert all(map(torch.equal, model.state_dict().values(), source.state_dict().values()))


@pytest.mark.parametrize('out_indices', [(0,), (0, 2), (1, 3)])
def test_what_is_not_built_may_be_left_over(tiny, save, out_indices):
    source = ConTNet(**tiny)
    model = init(save(source.state_dict()), **tiny, out_indices=out_indices)
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in model.state_dict().items())


def test_official_file_names_the_converter(tiny, save, golden):
    for prefix in (None, 'backbone.'):
        with pytest.raises(ValueError, match=r'tools/convert_checkpoint\.py'):
            init(save(golden['cases'][0]['state_dict']), prefix, **tiny)


def test_wrong_prefix_is_named(tiny, save):
    with pytest.raises(ValueError, match=r"prefix='backbone\.'\.$"):
        init(save(prefixed(ConTNet(**tiny))), **tiny)
    with pytest.raises(ValueError, match=r"found with prefix=''\.$"):
        init(save(ConTNet(**tiny).state_dict()), 'backbone.', **tiny)


def test_other_network(tiny, save):
    with pytest.raises(ValueError, match='It holds no ConTNet'):
        init(save({'backbone.conv1.weight': torch.zeros(64, 3, 7, 7)}), 'backbone.', **tiny)


@pytest.mark.parametrize(
    'settings, word',
    [
        (dict(position='relative'), 'missing'),
        (dict(stem='deep'), 'missing'),
        (dict(in_channels=4), 'of another shape'),
        (dict(qkv_bias=False), 'left over'),
    ],
)
def test_other_architecture_is_refused(tiny, save, settings, word):
    with pytest.raises(ValueError, match=word) as error:
        init(save(ConTNet(**tiny).state_dict()), **tiny, **settings)
    assert 'of another architecture' in str(error.value)


def test_nothing_changes_where_it_is_refused(tiny, save):
    model = ConTNet(**tiny, init_cfg=dict(type='Pretrained', checkpoint=save({'a': torch.zeros(1)})))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError):
        model.init_weights()
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_left_over_or_reshaped_alone_is_refused(tiny, save):
    """Also names that merely look like those of stages that are not built."""
    weights = ConTNet(**tiny).state_dict()
    for name in ('stages.9.0.foo', 'stages.3.0.shortcut.weight2', 'stages.3.0.encoders.2.norm1.weight', 'extra'):
        with pytest.raises(ValueError, match=rf'(?m)left over: {name}$') as error:
            init(save({**weights, name: torch.zeros(1)}), **tiny, out_indices=(0, 1))
        assert 'missing' not in str(error.value)
    with pytest.raises(ValueError, match=r'of another shape: stages\.0\.0\.norm\.bias \(3,\) for \(16,\)\n') as error:
        init(save({**weights, 'stages.0.0.norm.bias': torch.zeros(3)}), **tiny)
    assert 'left over' not in str(error.value)


def test_extra_block_in_the_last_stage_is_refused(tiny, save):
    weights = ConTNet(arch=dict(tiny['arch'], depths=(2, 1, 1, 1))).state_dict()
    arch = dict(tiny['arch'], depths=(1, 1, 1, 1))
    with pytest.raises(ValueError, match=r'left over: stages\.0\.1\.'):
        init(save(weights), arch=arch, out_indices=(0,))


def test_names_of_data_parallelism_load(tiny, save):
    source = ConTNet(**tiny)
    model = init(save(prefixed(source, 'module.backbone.')), 'backbone.', **tiny)
    assert all(map(torch.equal, model.state_dict().values(), source.state_dict().values()))


@pytest.mark.parametrize(
    'kind', ['Pretrained', 'PretrainedInit', 'mmengine.Pretrained', 'mmdet.Pretrained', PretrainedInit]
)
@pytest.mark.parametrize('several', [False, True])
@pytest.mark.slow
def test_every_spelling_loads_strictly(tiny, save, kind, several):
    def build(path, **settings):
        cfg = dict(type=kind, checkpoint=path)
        others = [dict(type='Constant', layer='Linear', val=0.5)]
        model = ConTNet(**tiny, **settings, init_cfg=[*others, cfg] if several else cfg)
        model.init_weights()
        return model

    source = ConTNet(**tiny)
    path = save(source.state_dict())
    for given in (path, Path(path)):
        assert all(map(torch.equal, build(given).state_dict().values(), source.state_dict().values()))
    with pytest.raises(ValueError, match='do not fit the backbone'):
        build(path, in_channels=4)


@pytest.mark.parametrize(
    'init_cfg, words',
    [
        ('weights.pth', "init_cfg is 'weights.pth'; expected dict"),
        (dict(checkpoint='weights.pth'), 'expected dict'),
        ([dict(type='Pretrained', checkpoint='a.pth'), None], 'or a list of them'),
        (dict(type='Pretrained'), 'checkpoint is None; expected a path or a URL'),
        (dict(type='Pretrained', checkpoint=3), 'checkpoint is 3'),
        (dict(type='Pretrained', checkpoint=['a.pth']), "checkpoint is ['a.pth']"),
        (dict(type='Pretrained', checkpoint='a.pth', prefix=3), 'prefix is 3'),
        (dict(type='Pretrained', checkpoint='a.pth', strict=True), "unknown fields ['strict']"),
        ({'type': 'Pretrained', 'checkpoint': 'a.pth', 3: 1, 'x': 2}, "unknown fields [3, 'x']"),
        (dict(type='Pretrained', checkpoint=''), "checkpoint is ''"),
        (dict(type='Pretrained', checkpoint='a.pth', map_location='gpu0'), "map_location is 'gpu0'"),
        (dict(type='Pretrained', checkpoint='a.pth', map_location=[0]), 'map_location is [0]'),
        *((dict(type=kind), f'init_cfg is {dict(type=kind)}') for kind in ('pretrained', '', None, 3)),
        (dict(type='Kaiming', layer='Conv2d', foo=1), 'foo'),
        (dict(type='Constant', val=1, override=dict(type='Pretrained', name='stem')), 'an override loads no weights'),
        (dict(type='Constant', val=1, override=[dict(type='mmdet.Pretrained')]), 'an override loads no weights'),
    ],
)
def test_wrong_init_cfg_is_named(tiny, init_cfg, words):
    with pytest.raises(ValueError, match=r'^init_cfg') as error:
        ConTNet(**tiny, init_cfg=init_cfg).init_weights()
    assert words in str(error.value)


def test_weights_without_data_are_refused(tiny, save):
    model = ConTNet(**tiny)
    path = save(model.state_dict())
    with pytest.raises(ValueError, match=r'no dense tensors: stem\.0\.weight \(meta\)'):
        load_pretrained(model, path, map_location='meta')


@pytest.mark.parametrize('value', [None, 'a', 1.0, torch.zeros(16, dtype=torch.int64), torch.full((16,), float('nan'))])
def test_values_that_are_no_weights_are_refused(tiny, save, value):
    with pytest.raises(ValueError, match=r'stages\.0\.0\.norm\.bias') as error:
        init(save({**ConTNet(**tiny).state_dict(), 'stages.0.0.norm.bias': value}), **tiny)
    assert 'another architecture' not in str(error.value)


def test_missing_file_says_how_to_get_it(tiny, tmp_path):
    file = str(tmp_path / 'nowhere.pth')
    with pytest.raises(ValueError, match=r'nowhere\.pth cannot be read: there is no such file') as error:
        init(file, **tiny)
    message = str(error.value)
    assert '\n' not in message
    assert f'tools/convert_checkpoint.py OFFICIAL.pth {file}' in message and 'train on ImageNet' in message


@pytest.mark.parametrize('several', [False, True])
def test_missing_file_is_found_beforehand(several):
    cfg = dict(type='Pretrained', checkpoint='nowhere.pth')
    with pytest.raises(ValueError, match=r'nowhere\.pth cannot be read'):
        check_files([dict(type='Kaiming', layer='Conv2d'), cfg] if several else cfg)
    for other in (
        None,
        dict(type='Kaiming'),
        dict(cfg, checkpoint='https://a.org/b.pth'),
        dict(cfg, checkpoint=__file__),
    ):
        check_files([other] if several else other)


def test_random_weights_are_announced_once(tiny, caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        ConTNet(**tiny).init_weights()
    finally:
        logger.removeHandler(caplog.handler)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert 'init_cfg' in warnings[0] and 'tools/convert_checkpoint.py' in warnings[0]


def test_other_initializations_work(tiny):
    model = ConTNet(**tiny, init_cfg=dict(type='Constant', layer='Linear', val=0.5, bias=0.25))
    model.init_weights()
    assert (model.stages[0][0].encoders[0].mlp.fc1.weight == 0.5).all()
