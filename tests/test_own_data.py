"""docs/own_data.md, run as it is written, in a folder outside of the repository."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

PAGE = (ROOT / 'docs/own_data.md').read_text()
BLOCK = re.compile(r'```(bash|python)\n(.*?)```', re.DOTALL)


@pytest.mark.e2e
@pytest.mark.slow
def test_page_runs(tmp_path, monkeypatch):
    """Its one Python block is the config that the page calls hand.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PATH', str(Path(sys.executable).parent), prepend=':')
    monkeypatch.setenv('PYTHONPATH', str(ROOT), prepend=':')
    for name in ('demo', 'tools'):
        Path(name).symlink_to(ROOT / name)
    outputs = []
    for language, text in BLOCK.findall(PAGE):
        if language == 'python':
            assert len(text.splitlines()) == 10
            Path('hand.py').write_text(text)
            continue
        result = subprocess.run(['bash', '-euc', text], capture_output=True, text=True, timeout=600)
        assert result.returncode == 0, text + result.stdout[-2000:] + result.stderr[-3000:]
        outputs.append(result.stdout + result.stderr)
    assert len(outputs) == 5
    assert 'RetinaNet with ConT-Ti, 4 classes: circle, square, star, triangle' in outputs[1]
    assert '8 images with 18 objects; validation: 2 images' in outputs[1]
    assert 'Problems: none' in outputs[4]
    for name in ('my', 'my_fcos', 'hand'):
        assert Path(f'work_dirs/{name}/epoch_1.pth').is_file()
