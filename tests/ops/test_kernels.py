"""The Triton kernels, by Triton's interpreter. Its products know no bfloat16."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

TOLERANCES = {
    'attention-float32': 1e-5,
    'attention-float16': 5e-3,
    'operators': 5e-5,
    'rows': 5e-3,
    'encoder': 2e-3,
    'network': 2e-5,
}


@pytest.fixture(scope='module')
def interpreted():
    """By how much the kernels are wrong."""
    command = [sys.executable, str(Path(__file__).with_name('interpreted.py'))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(find_spec('triton') is None, reason='Triton has no build for this platform')
@pytest.mark.parametrize('part', TOLERANCES)
def test_kernels(part, interpreted):
    errors = interpreted[part]
    assert errors and all(error <= TOLERANCES[part] for error in errors.values()), errors


@pytest.mark.slow
@pytest.mark.skipif(find_spec('triton') is None, reason='Triton has no build for this platform')
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float32])
def test_kernels_compile_for_small_gpus(dtype, monkeypatch):
    """They fit the 99 KiB of shared memory that a block can have on GPUs for desktops."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from mmcontnet.ops import kernels
    from mmcontnet.ops.kernels.launch import Kernel

    names = {torch.bfloat16: '*bf16', torch.float32: '*fp32', int: 'i32', float: 'fp32'}
    used = {}

    def launch(self, grid, arguments, constants):
        types = [names.get(x.dtype if isinstance(x, torch.Tensor) else type(x), 'constexpr') for x in arguments]
        pairs = list(zip(self.function.arg_names, [*types, *['constexpr'] * len(constants)]))
        values = {pair[0]: x for pair, x in zip(pairs, [*arguments, *constants]) if pair[1] == 'constexpr'}
        source = ASTSource(self.function, dict(pairs), values)
        compiled = compile(source, target=GPUTarget('cuda', 86, 32), options=self.options)
        used[self.function.__name__] = compiled.metadata.shared

    monkeypatch.setattr(Kernel, '__call__', launch)
    x, y, row = torch.zeros(1, 14, 14, 128, dtype=dtype), torch.zeros(1, 14, 14, 64, dtype=dtype), torch.zeros(128)
    qkv, bias = torch.zeros(1, 14, 14, 3 * 64, dtype=dtype), torch.zeros(1, 196, 196)
    kernels.attention.forward(qkv, 1, 14, bias)
    kernels.attention.backward(y, qkv, 1, 14, bias)
    kernels.position.forward(x, torch.zeros(14, 14, 128))
    _, total = kernels.norm.forward(x, x, row, row, 1e-5, keep=True)
    kernels.norm.backward(x, total, row, 1e-5)
    if dtype == torch.bfloat16:
        weight = torch.zeros(512, 128, dtype=dtype)
        kernels.mlp.forward(x, weight, torch.zeros(512), weight.mT, row, row, row, 1e-5)
        for maps, size in ((x, 7), (y, 14)):
            channels = maps.shape[3]
            weight, row = torch.zeros(channels, channels, dtype=dtype), torch.zeros(channels)
            qkv = weight.repeat(3, 1), row.repeat(3)
            patch = torch.zeros(size, size, channels, dtype=dtype)
            layer = maps, patch, None, *qkv, weight, row, row, row
            kernels.attention_layer.forward(*layer, channels // 64, size, 1e-5)
    assert len(used) == (8 if dtype == torch.bfloat16 else 6)
    assert max(used.values()) <= 99 * 1024, used


@pytest.mark.skipif(find_spec('triton') is None, reason='Triton has no build for this platform')
def test_launches_compile_once_for_tensors_alike():
    from mmcontnet.ops.kernels.launch import Kernel

    launches = []

    class Function:
        """Compiles to a function that notes its calls."""

        def __getitem__(self, grid):
            launches.append('compiled')
            return lambda *arguments: {grid: lambda *arguments: launches.append('launched')}

    kernel = Kernel(Function())
    x = torch.zeros(9)
    for arguments, constants in [((x, 1), (7,)), ((x + 1, 2), (7,)), ((x[1:], 1), (7,)), ((x, 1), (14,))]:
        kernel((1, 1, 1), arguments, constants)
        kernel((1, 1, 1), arguments, constants)
    # The second differs in its numbers only; the third lies elsewhere in memory, the fourth has other constants.
    assert launches.count('compiled') == 3 and launches.count('launched') == 5
