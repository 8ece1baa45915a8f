from functools import partial

import pytest
import torch
from mmengine.registry import MODELS
from tool_runner import run_tool
from torch import nn

from mmcontnet import ConTNet
from mmcontnet.weights.official import convert_official, infer_settings

CASES = ['default', 'relative_avgdown', 'prenorm_nobias', 'deepstem_relative_prenorm']


@pytest.fixture(params=CASES)
def case(request, golden):
    return next(case for case in golden['cases'] if case['name'] == request.param)


@pytest.fixture
def default(golden):
    return golden['cases'][0]['state_dict']


def part(state_dict, prefix):
    return {key[len(prefix) :]: value for key, value in state_dict.items() if key.startswith(prefix)}


def build(case, state_dict):
    model = ConTNet(**infer_settings(state_dict), pre_norm=case['settings']['pre_norm'])
    model.load_state_dict(part(state_dict, 'backbone.'))
    return model.eval()


def relative_error(actual, expected):
    assert actual.shape == expected.shape
    return ((actual - expected).abs().max() / expected.abs().max()).item()


def test_every_case_is_tested(golden):
    assert [case['name'] for case in golden['cases']] == CASES


def test_features_equal_the_release(case, golden):
    model = build(case, convert_official(case['state_dict']))
    features = {}
    model.stem.register_forward_hook(lambda module, inputs, output: features.update(stem=output))
    for number, stage in enumerate(model.stages, 1):
        stage[-1].register_forward_hook(
            lambda module, inputs, output, number=number: features.update(
                {f'stage{number}_tokens': output[0], f'stage{number}_output': output[1]}
            )
        )
    images = (golden['images'][:1].float() - 127.5) / 58
    with torch.no_grad():
        outs = model(images)
    assert features.keys() == case['features'].keys()
    for name, expected in case['features'].items():
        assert relative_error(features[name], expected) < 1e-5, name
    names = ['stage1_tokens', 'stage2_tokens', 'stage3_tokens', 'stage4_output']
    for out, name in zip(outs, names):
        assert relative_error(out, case['features'][name]) < 1e-5, name


def test_logits_equal_the_release(case, golden):
    state_dict = convert_official(case['state_dict'])
    model = build(case, state_dict)
    head = nn.Linear(model.out_channels[-1], case['settings']['num_classes'])
    head.load_state_dict(part(state_dict, 'head.fc.'))
    with torch.no_grad():
        logits = head(model((golden['images'].float() - 127.5) / 58)[-1].mean((2, 3)))
    assert relative_error(logits, case['logits']) < 1e-5


def test_settings_are_inferred(case):
    settings = infer_settings(convert_official(case['state_dict']))
    release = case['settings']
    assert settings['arch']['width'] == release['inplanes']
    assert settings['arch']['depths'] == tuple(release['layers'])
    assert settings['arch']['mlp_widths'] == tuple(release['mlp_dim'])
    assert settings['arch']['heads'] == tuple(release['head_num'])
    assert settings['position'] == ('relative' if release['relative'] else 'absolute')
    assert settings['stem'] == ('deep' if release['tweak_C'] else 'conv')
    assert settings['qkv_bias'] == release['qkv_bias']
    assert settings['avg_down'] == release['use_avgdown']


@pytest.mark.parametrize('arch', ['ti', 's', 'm', 'b'])
@pytest.mark.parametrize('position', ['absolute', 'relative'])
def test_variants_are_recognized(arch, position):
    with torch.device('meta'):
        state_dict = ConTNet(arch, position=position).state_dict()
    assert infer_settings({f'backbone.{key}': value for key, value in state_dict.items()})['arch'] == arch


@pytest.mark.parametrize(
    'wrap',
    [
        lambda weights: weights,
        lambda weights: {'model': weights, 'epoch': 3, 'best_acc1': torch.tensor(7.0)},
        lambda weights: {'model': {f'module.{key}': value for key, value in weights.items()}, 'optimizer': {}},
        lambda weights: {f'net.encoder.{key}': value for key, value in weights.items()},
        lambda weights: {'state_dict': weights},
        lambda weights: {**weights, 'total_ops': torch.zeros(1), 'layer1.total_params': torch.zeros(1)},
        lambda weights: {key: value for key, value in weights.items() if not key.startswith('fc.')},
    ],
    ids=['bare', 'training', 'ddp', 'prefix', 'state_dict', 'buffers', 'headless'],
)
def test_any_form_converts(default, wrap):
    expected = part(convert_official(default), 'backbone.')
    converted = part(convert_official(wrap(default)), 'backbone.')
    assert converted.keys() == expected.keys()
    assert all(torch.equal(converted[key], value) for key, value in expected.items())


@pytest.mark.parametrize(
    'change, words',
    [
        (lambda weights: weights.update({'layer1.extra': torch.zeros(1)}), ['left over: layer1.extra']),
        (lambda weights: weights.update({'other.thing': torch.zeros(1)}), ['left over: other.thing']),
        (lambda weights: weights.pop('layer2.ConTBlock1.bn.weight'), ['missing: backbone.stages.1.1.norm.weight']),
        (lambda weights: weights.pop('layer0.conv.conv.weight'), ['holds no ConTNet']),
        (lambda weights: weights.update({'layer4.ConTBlock0.bn.bias': torch.zeros(3)}), ['stages.3.0.norm.bias (3,)']),
        (lambda weights: weights.clear(), ['holds no ConTNet']),
        (lambda weights: weights.pop('fc.bias'), ['missing: head.fc.bias']),
        (lambda weights: weights.pop('fc.weight'), ['missing: head.fc.weight']),
        (lambda weights: weights.update({'fc.foo': torch.zeros(1)}), ['left over: head.fc.foo']),
        (lambda weights: weights.update({'fc.weight': torch.zeros(())}), ['head.fc.weight () for']),
        (lambda weights: weights.update({'fc.bias': torch.zeros(3)}), ['head.fc.bias (3,) for']),
        (lambda weights: weights.update({'layer0.conv.conv.weight': torch.zeros(())}), ['impossible shapes']),
        (lambda weights: weights.update({'layer0.conv.conv.weight': torch.zeros(8)}), ['impossible shapes']),
        (lambda weights: weights.update({'layer1.ConTBlock0.bn.bias': None}), ['named tensors: layer1.ConTBlock0.bn']),
        (lambda weights: weights.update({3: torch.zeros(1)}), ['named tensors: 3']),
        (lambda weights: weights['layer1.ConTBlock0.bn.bias'].fill_(float('nan')), ['not finite']),
        (lambda weights: weights['layer1.ConTBlock0.bn.running_var'].fill_(-1), ['negative variances']),
        (
            lambda weights: weights.update({f'layer1.ConTBlock{n}.bn.bias': torch.zeros(8) for n in range(30_000)}),
            ['it claims 30005 blocks'],
        ),
        (
            lambda weights: weights.update(model={'a': torch.zeros(1)}, state_dict={'a': torch.zeros(1)}),
            ['both model and state_dict'],
        ),
        (
            lambda weights: weights.update(state_dict=convert_official(dict(weights))),
            ['is converted already'],
        ),
    ],
)
def test_what_does_not_match_is_listed(default, change, words):
    weights = {key: value.clone() for key, value in default.items()}
    change(weights)
    with pytest.raises(ValueError) as error:
        convert_official(weights)
    assert all(word in str(error.value) for word in words)


@pytest.fixture
def convert():
    """The command, as its arguments; it must end with the status."""
    return partial(run_tool, 'tools/convert_checkpoint.py')


def test_tool_writes_what_a_backbone_loads(convert, tmp_path, golden):
    case = golden['cases'][2]
    torch.save({'model': {f'module.{key}': value for key, value in case['state_dict'].items()}}, tmp_path / 'src.pth')
    text, _ = convert(tmp_path / 'src.pth', tmp_path / 'new' / 'dst.pth')
    assert "position='absolute', qkv_bias=False" in text
    state_dict = convert_official(case['state_dict'])
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'new' / 'dst.pth'), prefix='backbone.')
    model = MODELS.build(dict(type='ConTNet', **infer_settings(state_dict), pre_norm=True, init_cfg=init_cfg))
    model.init_weights()
    assert all(torch.equal(value, state_dict[f'backbone.{key}']) for key, value in model.state_dict().items())


@pytest.mark.parametrize('content', [b'', b'not a checkpoint'])
def test_tool_names_a_broken_file(convert, tmp_path, content):
    (tmp_path / 'src.pth').write_bytes(content)
    _, errors = convert(tmp_path / 'src.pth', tmp_path / 'dst.pth', status=1)
    assert 'src.pth' in errors and 'Traceback' not in errors
    assert not (tmp_path / 'dst.pth').exists()


def test_tool_names_a_missing_file(convert, tmp_path):
    _, errors = convert(tmp_path / 'src.pth', tmp_path / 'dst.pth', status=1)
    assert 'src.pth' in errors and 'Traceback' not in errors
