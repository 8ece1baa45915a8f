import copy

import numpy as np
import pytest
import reference
import torch
import torch.nn.functional as F
from mmengine.registry import MODELS
from reference import build, close, randomise
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmcontnet import ConTNet
from mmcontnet.models.encoder import Encoder
from mmcontnet.ops import strips


@pytest.mark.parametrize(
    'arch, position, total, with_head',
    [
        ('ti', 'absolute', 5.120, 5.889),
        ('s', 'absolute', 9.078, 10.103),
        ('m', 'absolute', 18.512, 19.537),
        ('b', 'absolute', 35.018, 36.043),
        ('ti', 'relative', None, 5.886),
        ('s', 'relative', None, 10.096),
        ('m', 'relative', None, 19.522),
        ('b', 'relative', None, 36.014),
    ],
)
def test_parameters(arch, position, total, with_head):
    with torch.device('meta'):
        model = ConTNet(arch, position=position)
        head = nn.Linear(model.out_channels[-1], 1000)
    count = sum(parameter.numel() for parameter in model.parameters())
    if total is not None:
        assert round(count / 1e6, 3) == total
    assert round((count + sum(parameter.numel() for parameter in head.parameters())) / 1e6, 3) == with_head


@pytest.mark.parametrize('arch, width', [('ti', 48), ('s', 64), ('m', 64), ('b', 64)])
@pytest.mark.slow
def test_outputs(arch, width):
    model = ConTNet(arch).eval()
    assert model.out_channels == (width, 2 * width, 4 * width, 16 * width)
    assert model.out_strides == (4, 8, 16, 32)
    with torch.no_grad():
        outs = model(torch.rand(2, 3, 64, 96))
    for out, channels, stride in zip(outs, model.out_channels, model.out_strides):
        assert out.shape == (2, channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize(
    'size',
    [
        *[(1, 1), (2, 67), (33, 5), (57, 61)],
        *(pytest.param(size, marks=pytest.mark.slow) for size in [(56, 56), (57, 113), (100, 139), (225, 64)]),
    ],
)
@pytest.mark.parametrize(
    'settings',
    [
        {},
        dict(position='relative', pre_norm=True, avg_down=True),
        dict(stem='deep', qkv_bias=False, strides=(2, 1, 1, 1), dilations=(1, 1, 2, 4)),
        dict(stem='deep', position='relative', strides=(1, 2, 1, 2), avg_down=True),
    ],
    ids=['default', 'relative', 'deep', 'strides'],
)
@pytest.mark.parametrize('smooth', [False, True])
def test_outputs_and_gradients_equal_the_reference(tiny, settings, size, smooth, monkeypatch):
    """In float32, where the reference is computed in float64; for batches of 0, 1 and 3, channels-last or not.

    The gradients of ReLU and of max pooling jump: where rounding decides, they differ, and smooth functions serve.
    """
    if smooth:
        monkeypatch.setattr(F, 'relu', lambda x, inplace=False: F.silu(x))
        monkeypatch.setattr(F, 'max_pool2d', smooth_pooling)
    model = build(**tiny, **settings)
    exact = copy.deepcopy(model).double()
    for batch in (0, 1, 3):
        x = torch.randn(batch, 3, *size)
        outs, expected = model(x), reference.forward(exact, x.double())
        with torch.no_grad():
            inferred = model(x.contiguous(memory_format=torch.channels_last))
        for actual, inferred_map, wanted in zip(outs, inferred, expected):
            assert relative_error(actual, wanted) <= 1e-6 and relative_error(inferred_map, wanted) <= 1e-6
        if not smooth:
            continue
        factors = [torch.randn_like(out) for out in outs]
        gradients = [differentiate(*pair, factors) for pair in ((model, outs), (exact, expected))]
        assert relative_error(*(torch.cat([grad.flatten() for grad in grads]) for grads in gradients)) <= 1e-5
        errors = [relative_error(*pair) for pair in zip(*gradients)]
        if max(errors) > 1e-5:  # Of sums that almost cancel, as those of relative positions, float32 has no more.
            gradients[0] = differentiate(model, reference.forward(model, x), factors)
            limits = [max(1e-5, 5 * relative_error(*pair)) for pair in zip(*gradients)]
            assert all(error <= limit for error, limit in zip(errors, limits))


def smooth_pooling(x, size, stride, padding, *args, **kwargs):
    return F.avg_pool2d(x, size, stride, padding)


def relative_error(actual, expected):
    """Relative to what both are where that is zero."""
    assert actual.shape == expected.shape
    return ((actual - expected).norm() / expected.norm().clamp(min=1e-300)).item()


def differentiate(model, maps, factors):
    total = sum((out * factor).sum() for out, factor in zip(maps, factors))
    return torch.autograd.grad(total, list(model.parameters()), allow_unused=True, materialize_grads=True)


@pytest.mark.parametrize('position', ['absolute', 'relative'])
def test_padding_changes_nothing(tiny, position):
    encoder = build(**tiny, position=position).stages[1][0].encoders[1]
    x = torch.randn(1, 32, 17, 23)
    with torch.no_grad():
        actual = encoder(x.permute(0, 2, 3, 1).contiguous()).permute(0, 3, 1, 2)
        for padding in (0.0, 1e4, torch.inf, torch.nan):
            close(actual, reference.encode(encoder, x, 14, padding))


def test_what_lies_outside_a_patch_changes_nothing(tiny):
    """The margin's patches see their own pixels alone, as if the map ended at the patch's border."""
    block = build(**tiny).stages[0][0]
    x = torch.randn(1, 16, 31, 45)
    with torch.no_grad():
        expected = block.encode(x)
        x[:, :, :28] = torch.randn(1, 16, 28, 45)
        x[:, :, :, :42] = torch.randn(1, 16, 31, 42)
        assert not torch.equal(block.encode(x)[:, :, :28], expected[:, :, :28])
        close(block.encode(x)[:, :, 28:, 42:], expected[:, :, 28:, 42:])


@pytest.mark.parametrize('tokens', [1, 500, 2000, 10000])
@pytest.mark.parametrize('size', [(57, 113), (225, 64)])
def test_strips_change_nothing(tiny, size, tokens, monkeypatch):
    """Inference takes the maps in strips, training whole."""
    model = build(**tiny, position='relative')
    x = torch.randn(3, 3, *size)
    expected = model(x)
    monkeypatch.setattr(strips, 'CACHED_TOKENS', tokens)
    with torch.no_grad():
        for actual, whole in zip(model(x), expected):
            close(actual, whole)


@pytest.mark.parametrize('patch_sizes', [((3, 6), (2, 2), (5, 10), (1, 4)), [[4, 8]] * 4, [(6, 4)] * 4])
def test_other_patch_sizes(patch_sizes):
    arch = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8), patch_sizes=patch_sizes)
    model = build(arch=arch)
    x = torch.randn(1, 3, 70, 90)
    with torch.no_grad():
        for actual, expected in zip(model(x), reference.forward(model, x)):
            close(actual, expected)


@pytest.mark.parametrize(
    'strides, dilations, out_strides',
    [
        ((2, 2, 2, 1), (1, 1, 1, 1), (4, 8, 16, 32)),
        ((2, 2, 1, 1), (1, 1, 1, 2), (4, 8, 16, 16)),
        ((2, 1, 1, 1), (1, 1, 2, 4), (4, 8, 8, 8)),
        ((2, 2, 2, 2), (1, 1, 1, 1), (4, 8, 16, 64)),
    ],
)
@pytest.mark.parametrize('avg_down', [False, True])
def test_output_stride(tiny, strides, dilations, out_strides, avg_down):
    model = ConTNet(**tiny, strides=strides, dilations=dilations, avg_down=avg_down).eval()
    assert model.out_strides == out_strides
    shapes = {name: tensor.shape for name, tensor in ConTNet(**tiny, avg_down=avg_down).state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        outs = model(torch.rand(1, 3, 97, 130))
    for out, stride in zip(outs, out_strides):
        assert out.shape[2:] == (-(-97 // stride), -(-130 // stride))


@pytest.mark.parametrize('out_indices', [(0,), (1,), (2,), (3,), (0, 2), (1, 3), (0, 1, 2, 3)])
def test_every_parameter_gets_a_gradient(tiny, out_indices):
    model = randomise(ConTNet(**tiny, out_indices=out_indices, position='relative'))
    outs = model(torch.randn(2, 3, 64, 64))
    assert len(outs) == len(model.out_channels) == len(model.out_strides) == len(out_indices)
    sum((out**2).mean() for out in outs).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_fewer_outputs_are_the_same_maps(tiny):
    whole = build(**tiny)
    part = ConTNet(**tiny, out_indices=(0, 2)).eval()
    part.load_state_dict(whole.state_dict(), strict=False)
    x = torch.randn(1, 3, 50, 70)
    with torch.no_grad():
        outs = whole(x)
        assert all(map(torch.equal, part(x), (outs[0], outs[2])))


@pytest.mark.parametrize('frozen_stages', [-1, 0, 2, 4])
@pytest.mark.parametrize('norm_eval', [False, True])
def test_modes(tiny, frozen_stages, norm_eval):
    model = ConTNet(**tiny, stem='deep', frozen_stages=frozen_stages, norm_eval=norm_eval)
    assert model.train() is model
    for index, part in enumerate([model.stem, *model.stages]):
        frozen = index <= frozen_stages
        assert all(parameter.requires_grad != frozen for parameter in part.parameters())
        assert all(module.training != frozen for module in part.modules() if not isinstance(module, _BatchNorm))
        norms = [module for module in part.modules() if isinstance(module, _BatchNorm)]
        assert all(norm.training == (not frozen and not norm_eval) for norm in norms)
    assert not any(module.training for module in model.eval().modules())


@pytest.mark.parametrize('settings', [{}, dict(position='relative', pre_norm=True, frozen_stages=1)])
def test_checkpointing_changes_nothing(tiny, settings):
    plain = randomise(ConTNet(**tiny, **settings)).train()
    model = ConTNet(**tiny, **settings, with_cp=True).train()
    model.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 70, 90)
    for net in (plain, model):
        sum((out**2).mean() for out in net(x)).backward()
    for expected, actual in zip(plain.parameters(), model.parameters()):
        assert (expected.grad is None) == (actual.grad is None)
        if expected.grad is not None:
            close(actual.grad, expected.grad)
    assert all(map(torch.equal, plain.buffers(), model.buffers()))


def test_encoder_keeps_eleven_maps_for_the_backward_pass():
    """Its input, queries, keys, values, attention's output, two sums, and the hidden layer, four times as wide."""
    encoder = Encoder(32, 7, 2, 128, 0.0, 'absolute', True, False)
    parameters = {parameter.untyped_storage().data_ptr() for parameter in encoder.parameters()}
    kept = {}

    def keep(x):
        if x.untyped_storage().data_ptr() not in parameters:
            kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        out = encoder(torch.randn(2, 14, 14, 32, requires_grad=True))
    maps = [x.numel() / out.numel() for x in kept.values() if x.numel() >= out.numel()]
    assert sum(maps) == 11


def test_checkpointing_repeats_dropout():
    arch = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8), dropouts=(0.2,) * 4, output_dropout=0.3)
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(1)
        model = ConTNet(arch, with_cp=with_cp).train()
        torch.manual_seed(2)
        model(torch.ones(2, 3, 60, 60).cumsum(3) / 60)[-1].square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, again in zip(*gradients):
        close(again, plain)


@pytest.mark.parametrize(
    'norm_cfg', [dict(type='BN', momentum=0.01), dict(type='SyncBN'), dict(type='GN', num_groups=2)]
)
def test_norms(tiny, norm_cfg):
    model = ConTNet(**tiny, stem='deep', norm_cfg=norm_cfg)
    kinds = {'BN': nn.BatchNorm2d, 'SyncBN': nn.SyncBatchNorm, 'GN': nn.GroupNorm}
    assert all(isinstance(block.norm, kinds[norm_cfg['type']]) for stage in model.stages for block in stage)
    assert isinstance(model.stem[1], kinds[norm_cfg['type']])
    assert all(out.isfinite().all() for out in model.eval()(torch.randn(2, 3, 40, 40)))


@pytest.mark.parametrize('channels_last', [False, True])
@pytest.mark.parametrize('norm_cfg', [dict(type='BN'), dict(type='GN', num_groups=4)])
def test_outputs_keep_the_memory_format(tiny, channels_last, norm_cfg):
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    model = ConTNet(**tiny, norm_cfg=norm_cfg).eval().to(memory_format=memory_format)
    x = torch.randn(2, 3, 70, 90).to(memory_format=memory_format)
    for out in [*model(x), *model(x[:, :, :60, 5:])]:
        assert out.is_contiguous(memory_format=memory_format)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('position', ['absolute', 'relative'])
def test_autocast(tiny, dtype, position):
    model = ConTNet(**tiny, position=position)
    x = torch.randn(2, 3, 70, 90)
    expected = model.eval()(x)
    with torch.autocast('cpu', dtype):
        with torch.no_grad():
            inferred = model(x)
        for outs in (model(x), inferred):
            for out, full in zip(outs, expected):
                close(out.float(), full, 3e-2)
        sum(out.float().square().mean() for out in model.train()(x)).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_other_types(tiny, dtype):
    model = ConTNet(**tiny, position='relative').eval().to(dtype)
    assert all(out.dtype == dtype for out in model(torch.randn(1, 3, 50, 50, dtype=dtype)))


def test_empty_batch_and_single_image(tiny):
    model = ConTNet(**tiny, position='relative').eval()
    for batch in (0, 1):
        outs = model(torch.randn(batch, 3, 70, 90))
        assert [out.shape[0] for out in outs] == [batch] * 4


@pytest.mark.parametrize(
    'settings, words',
    [
        (dict(arch='xl'), ["arch is 'xl'", "'m'"]),
        (dict(arch=dict(width=16)), ['depths', 'mlp_widths']),
        (dict(arch=dict(width=16, depths=(1,) * 4, mlp_widths=(8,) * 4, deep=1)), ["unknown fields ['deep']"]),
        (dict(arch=dict(width=7, depths=(1,) * 4, mlp_widths=(8,) * 4)), ["arch['width'] is 7", 'even']),
        (dict(arch=dict(width=16, depths=(1,) * 3, mlp_widths=(8,) * 4)), ["arch['depths'] is (1, 1, 1)"]),
        (dict(arch=dict(width=16, depths=(1,) * 4, mlp_widths=(8,) * 4, heads=(3,) * 4)), ["arch['heads']"]),
        (dict(arch=dict(width=16, depths=(1,) * 4, mlp_widths=(8,) * 4, dropouts=(1,) * 4)), ["arch['dropouts']"]),
        (dict(arch=dict(width=16, depths=(1,) * 4, mlp_widths=(8,) * 4, patch_sizes=[(7, 0)] * 4)), ['pairs']),
        (dict(in_channels=0), ['in_channels is 0', 'positive']),
        (dict(stem='wide'), ["stem is 'wide'", 'deep']),
        (dict(position='none'), ["position is 'none'", 'relative']),
        (dict(strides=(2, 2, 2)), ['strides is (2, 2, 2)', '4 integers']),
        (dict(strides=(4, 2, 2, 1)), ['strides', 'each 1 or 2']),
        (dict(dilations=(0, 1, 1, 1)), ['dilations', 'positive']),
        (dict(out_indices=()), ['out_indices is ()']),
        (dict(out_indices=(0, 4)), ['out_indices is (0, 4)', '0 to 3']),
        (dict(out_indices=(2, 1)), ['out_indices is (2, 1)', 'ascending']),
        (dict(out_indices=3), ['out_indices is 3']),
        (dict(frozen_stages=5), ['frozen_stages is 5', '-1 to 4']),
        (dict(norm_cfg=dict(type='Batch')), ['norm_cfg', 'Batch']),
        (dict(norm_cfg='BN'), ["norm_cfg is 'BN'"]),
        (dict(norm_cfg=dict(type='GN')), ['norm_cfg', 'num_groups']),
        (dict(arch='ti', norm_cfg=dict(type='GN', num_groups=32)), ['norm_cfg', '48 channels']),
    ],
)
def test_wrong_arguments(settings, words):
    with pytest.raises(ValueError) as error:
        ConTNet(**settings)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    'name, value',
    [
        *(('in_channels', value) for value in (True, 3.0, '3', None, -1, np.bool_(True), 1 << 40)),
        *(
            (name, value)
            for name in ('qkv_bias', 'pre_norm', 'avg_down', 'norm_eval', 'with_cp')
            for value in ('no', 1)
        ),
        *((name, (2.0, 2, 2, 1)) for name in ('strides', 'dilations')),
        *((name, (True, 2, 2, 1)) for name in ('strides', 'dilations')),
        *(
            (name, None)
            for name in ('strides', 'dilations', 'out_indices', 'frozen_stages', 'stem', 'position', 'arch')
        ),
        *(('out_indices', value) for value in ((True, 2), (1.0, 2), '012', {0, 1})),
        *(('frozen_stages', value) for value in (True, 1.0, '1')),
        *(('stem', value) for value in (['conv'], 1)),
        *(('arch', value) for value in (['m'], 'M', 3)),
        *(
            ('norm_cfg', dict(type=kind, **settings))
            for kind, settings in [
                *((kind, {}) for kind in ('LN', 'BN1d', 'BN3d', 'IN3d', 'nowhere', None)),
                *(('GN', dict(num_groups=groups)) for groups in (0, -1, 7, 2.0)),
                *(('BN', dict(eps=eps)) for eps in (-1e-5, 0, 'small', float('nan'), float('inf'))),
                *(('BN', dict(momentum=momentum)) for momentum in (2, -0.1, 'none')),
                ('BN', dict(groups=2)),
            ]
        ),
    ],
)
def test_types_and_ranges_of_arguments(tiny, name, value):
    with pytest.raises(ValueError, match=f'^{name}'):
        ConTNet(**{**tiny, name: value})


@pytest.mark.parametrize(
    'name, value',
    [
        *((name, value) for name in ('depths', 'mlp_widths', 'heads') for value in ((1.0,) * 4, (True,) * 4, '1111')),
        *(('width', value) for value in (16.0, True, '16')),
        *(('dropouts', value) for value in ((True,) * 4, ('0',) * 4, (float('nan'),) * 4, 0.1)),
        *(('output_dropout', value) for value in (False, '0', float('nan'), -0.1, 1)),
        *(('patch_sizes', value) for value in ((7, 14, 7, 7), ((7.0, 14),) * 4, ((True, 14),) * 4)),
    ],
)
def test_types_and_ranges_of_sizes(tiny, name, value):
    with pytest.raises(ValueError, match=rf"^arch\['{name}'\]"):
        ConTNet(arch={**tiny['arch'], name: value})


def test_numbers_of_numpy_are_taken():
    arch = dict(width=np.int64(16), depths=list(np.ones(4, int)), mlp_widths=(8,) * 4, output_dropout=np.float32(0.5))
    model = ConTNet(arch, in_channels=np.int32(1), with_cp=np.bool_(True), strides=list(np.array([2, 2, 1, 1])))
    assert model(torch.rand(1, 1, 32, 32))[-1].shape == (1, 256, 2, 2)
    assert type(model.out_strides[0]) is int and type(model.in_channels) is int


@pytest.mark.parametrize('shape', [(3, 32, 32), (1, 4, 32, 32), (1, 3, 0, 32), (1, 3, 1, 32, 32)])
def test_wrong_input(tiny, shape):
    with pytest.raises(ValueError, match=r'expected a float tensor \(B, 3, H, W\)') as error:
        ConTNet(**tiny)(torch.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize(
    'x', [None, [torch.zeros(3, 8, 8)], np.zeros((1, 3, 8, 8)), torch.zeros(1, 3, 8, 8, dtype=torch.uint8)]
)
def test_input_of_another_type(tiny, x):
    with pytest.raises(TypeError, match=r'^x is .*; expected a float tensor \(B, 3, H, W\)'):
        ConTNet(**tiny)(x)


def test_dropouts_of_contb():
    with torch.device('meta'):
        stages = ConTNet('b').stages
    rates = [{part.dropout for block in stage for e in block.encoders for part in (e.attn, e.mlp)} for stage in stages]
    assert rates == [{0.0}, {0.0}, {0.1}, {0.1}]
    assert [block.dropout.p for stage in stages for block in stage] == [0.0] * 15 + [0.2]


def test_dropout_at_four_places_of_an_encoder_in_training(monkeypatch):
    arch = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(24,) * 4, dropouts=(0.25, 0, 0, 0))
    encoder = ConTNet(arch, out_indices=(0,)).stages[0][0].encoders[0]
    places = []

    def dropout(x, p=0.5, training=True, inplace=False):
        places.extend([(x.shape[-1], p)] if p and training else [])
        return x

    def attention(query, key, value, attn_mask=None, dropout_p=0.0, **settings):
        places.append(('attention', dropout_p))
        return value

    monkeypatch.setattr(torch.nn.functional, 'dropout', dropout)
    monkeypatch.setattr(torch.nn.functional, 'scaled_dot_product_attention', attention)
    encoder.train()(torch.zeros(1, 7, 7, 16))
    assert places == [('attention', 0.25), (16, 0.25), (24, 0.25), (16, 0.25)]
    places.clear()
    encoder.eval()(torch.zeros(1, 7, 7, 16))
    assert [place for place in places if place[1]] == []


def test_dropout_of_the_output_follows_the_sum():
    arch = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(8,) * 4, output_dropout=0.5)
    model = ConTNet(arch, out_indices=(3,))
    block, seen = model.stages[-1][-1], {}
    for name in ('conv', 'shortcut'):
        getattr(block, name).register_forward_hook(lambda module, inputs, out, n=name: seen.update({n: out.clone()}))
    block.dropout.register_forward_pre_hook(lambda module, inputs: seen.update(sum=inputs[0]))
    out = model.train()(torch.rand(2, 3, 64, 64))[0]
    torch.testing.assert_close(seen['sum'], seen['conv'] + seen['shortcut'])
    assert 0.3 < (out == 0).float().mean() < 0.7


def test_every_3x3_convolution_has_the_dilation_of_its_stage():
    arch = dict(width=16, depths=(2, 2, 2, 2), mlp_widths=(8,) * 4)
    model = ConTNet(arch, dilations=(2, 3, 4, 5))
    for index, dilation in enumerate((2, 3, 4, 5)):
        found = [m for m in model.stages[index].modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
        assert len(found) == (2 if index < 3 else 1)
        assert all(conv.dilation == conv.padding == (dilation, dilation) for conv in found)


@pytest.mark.parametrize('position', ['absolute', 'relative'])
def test_initial_weights(position):
    """Convolutions by their fan-out, linear layers by a deviation of 0.02."""
    model = ConTNet('s', position=position)
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05), name
        elif isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.05), name
            assert module.bias is None or not module.bias.any()
    for name, value in model.named_parameters():
        if '.position.' in name:
            std = value.std().item()
            assert std == 0 if position == 'absolute' else std == pytest.approx(0.02, rel=0.2), name


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg', 'mmengine'])
@pytest.mark.slow
def test_registered(scope, tiny):
    registry = MODELS if scope == 'mmengine' else __import__(f'{scope}.registry', fromlist=['MODELS']).MODELS
    assert isinstance(registry.build(dict(type='ConTNet', **tiny)), ConTNet)
