"""The Triton kernels, by Triton's interpreter. Its products know no bfloat16."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

TOLERANCES = {'attention-float32': 1e-5, 'attention-float16': 5e-3, 'operators': 5e-5, 'rows': 5e-3, 'network': 2e-5}


@pytest.mark.slow
@pytest.mark.skipif(find_spec('triton') is None, reason='Triton has no build for this platform')
@pytest.mark.parametrize('part', TOLERANCES)
def test_kernels(part):
    command = [sys.executable, str(Path(__file__).with_name('interpreted.py')), part]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout.splitlines()[-1])
    assert errors and all(error <= TOLERANCES[part] for error in errors.values()), errors


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
