"""docs/own_data.md, run as it is written, in a folder outside of the repository."""

import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT
from tool_runner import run_tool

PAGE = (ROOT / 'docs/own_data.md').read_text()
# hand.py inherits 1333x800, which takes long.
SMALLER = [f'{name}_dataloader.dataset.pipeline.{n}.scale=(333,200)' for name, n in (('train', 2), ('val', 1))]
BLOCK = re.compile(r'```(bash|python)\n(.*?)```', re.DOTALL)


@pytest.mark.e2e
@pytest.mark.slow
def test_page_runs(tmp_path, monkeypatch):
    """Its one Python block is the config that the page calls hand.py."""
    monkeypatch.chdir(tmp_path)
    outputs = []
    for language, text in BLOCK.findall(PAGE):
        if language == 'python':
            assert len(text.splitlines()) == 10
            Path('hand.py').write_text(text)
            continue
        commands = [shlex.split(line) for line in text.replace('\\\n', '').splitlines()]
        commands = [
            [*command, *SMALLER] if 'hand.py' in command and '--cfg-options' in command else command
            for command in commands
        ]
        assert {command[0] for command in commands} == {'python'}
        outputs.append(''.join(output for command in commands for output in run_tool(*command[1:])))
    assert len(outputs) == 5
    assert 'RetinaNet with ConT-Ti, 4 classes: circle, square, star, triangle' in outputs[1]
    assert '4 images with 8 objects; validation: 2 images' in outputs[1]
    assert 'Problems: none' in outputs[4]
    for name in ('my', 'my_fcos', 'hand'):
        assert Path(f'work_dirs/{name}/epoch_1.pth').is_file()
