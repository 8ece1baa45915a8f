import copy

import pytest
import torch
import torch.autograd.forward_ad as forward_ad
from reference import build, close

from mmcontnet.ops import attention, encoder, layers, mlp, norm, position
from mmcontnet.ops.target import Target


def test_a_network_trains_while_another_thread_compiles(tiny, monkeypatch):
    """Of which torch tells all threads."""
    alone = build(**tiny)
    beside = copy.deepcopy(alone)
    images = torch.randn(2, 3, 50, 70)
    sum(out.square().sum() for out in alone(images)).backward()
    monkeypatch.setattr(torch.compiler, '_is_compiling_flag', True)
    sum(out.square().sum() for out in beside(images)).backward()
    for actual, expected in zip(beside.parameters(), alone.parameters()):
        close(actual.grad, expected.grad)


def find_operators(network, images, autocast):
    """The operators of this package in each graph that the compiler makes of an inference."""
    torch.compiler.reset()  # What other tests have compiled counts, too.
    graphs = []

    def record(module, inputs):
        targets = {str(node.target) for node in module.graph.nodes if node.op == 'call_function'}
        graphs.append({target for target in targets if target.startswith('mmcontnet.')})
        return module

    network = torch.compile(network.eval(), backend=record, fullgraph=True)
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        network(images)
    return graphs


@pytest.mark.parametrize('autocast', [False, True])
def test_a_compiler_gets_one_graph_of_operators(tiny, autocast):
    """Whatever its version takes the functions to be that tell of compilers, exporters and autocast."""
    expected = {f'mmcontnet.{name}' for name in ('convolution', 'mlp', 'patch_attention')}
    assert find_operators(build(**tiny), torch.randn(2, 3, 50, 70), autocast) == [expected]


@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('pre_norm', [False, True])
def test_compiled_for_a_gpu_narrow_layers_of_halves_are_operators(tiny, pre_norm, autocast, monkeypatch):
    for module in (attention, encoder, layers, norm, position):
        monkeypatch.setattr(module, 'target', lambda x: Target.GPU_COMPILER)
    (found,) = find_operators(build(**tiny, pre_norm=pre_norm), torch.randn(2, 3, 50, 70), autocast)
    expected = {'mlp', 'patch_attention'} if pre_norm else {'attention_layer', 'mlp_layer', 'patch_attention'}
    expected = {f'mmcontnet.{name}' for name in (expected if autocast else {'patch_attention'})}
    assert found - {'mmcontnet.convolution'} == expected


def test_a_strict_export_has_torchs_operators_only(tiny):
    """Though the compiler traces it."""
    program = torch.export.export(build(**tiny).eval(), (torch.randn(2, 3, 50, 70),), strict=True)
    assert not [node for node in program.graph.nodes if 'mmcontnet' in str(node.target)]


def test_no_derivative_is_lost_in_inference():
    """The fused layers of inference know none."""
    x, *layers = torch.randn(1, 4, 5, 16), torch.randn(24, 16), torch.randn(24), torch.randn(16, 24), torch.randn(16)
    with torch.no_grad(), forward_ad.dual_level(), pytest.raises(NotImplementedError, match='jvp'):
        mlp(forward_ad.make_dual(x, torch.ones_like(x)), *layers)
