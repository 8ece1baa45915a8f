"""The Triton kernels, by Triton's interpreter. Its products know no bfloat16."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TOLERANCES = {'attention-float32': 1e-5, 'attention-float16': 5e-3, 'rows': 5e-3, 'network': 2e-5}


@pytest.mark.skipif(find_spec('triton') is None, reason='Triton has no build for this platform')
@pytest.mark.parametrize('part', TOLERANCES)
def test_kernels(part):
    command = [sys.executable, str(Path(__file__).with_name('interpreted.py')), part]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout.splitlines()[-1])
    assert len(errors) >= 2 and max(errors.values()) <= TOLERANCES[part], errors
