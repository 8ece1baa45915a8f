"""python -m mmcontnet.deploy where torch cannot be imported."""

import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import ROOT
from constant_models import write_exported
from helpers import run
from PIL import Image

# Runs the module as if neither torch nor a toolbox were installed.
RUN = """
import runpy, sys
sys.modules.update(dict.fromkeys(['torch', 'mmengine', 'mmcv', 'mmdet', 'cv2', 'onnx']))
runpy.run_module('mmcontnet.deploy', run_name='__main__', alter_sys=True)
"""


@pytest.fixture
def folder(tmp_path):
    write_exported(tmp_path / 'exported')
    for name in ('photos/a.png', 'photos/sub/b.jpg', 'c.webp', 'd.tif', 'unnamed'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(tmp_path / name, 'PNG' if name == 'unnamed' else None)
    (tmp_path / 'photos/notes.txt').write_text('notes')
    return tmp_path


@pytest.fixture
def deploy(folder):
    def deploy(*arguments, status=0):
        command = [sys.executable, '-c', RUN, *map(str, arguments)]
        env = {**os.environ, 'PYTHONPATH': str(ROOT)}
        result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        assert result.returncode == status and 'Traceback' not in result.stderr, result.stderr
        return result.stdout + result.stderr

    return deploy


def test_pictures_are_drawn_where_torch_is_not_installed(deploy, folder):
    text = deploy('exported', 'photos', 'c.webp', 'd.tif', 'unnamed', '--out', 'out')
    assert '5 pictures are in out' in text
    found = sorted(
        path.relative_to(folder / 'out').as_posix() for path in (folder / 'out').rglob('*') if path.is_file()
    )
    assert found == ['a.png', 'c.webp', 'd.tif', 'sub/b.jpg', 'unnamed.png']
    with Image.open(folder / 'out/a.png') as picture:
        assert picture.size == (80, 60) and picture.getpixel((20, 20)) == (0, 255, 0)


def test_help_describes_the_command_by_an_example(deploy):
    text = deploy('--help')
    assert 'usage: python -m mmcontnet.deploy' in text and 'Example:\n    python -m mmcontnet.deploy exported' in text


def test_unreadable_pictures_are_named_and_skipped(deploy, folder):
    (folder / 'photos/bad.jpg').write_text('no picture')
    text = deploy('exported', 'photos', '--out', 'out', status=1)
    assert 'photos/bad.jpg: cannot identify image file' in text and '1 of 3 pictures were skipped' in text
    assert (folder / 'out/a.png').is_file()


@pytest.mark.parametrize(
    'arguments, status, message',
    [
        (['exported'], 2, 'the following arguments are required: INPUT'),
        (['missing', 'photos', '--out', 'out'], 1, 'missing holds no exported model'),
        (['exported', 'nowhere', '--out', 'out'], 1, 'nowhere does not exist'),
        (['exported', 'exported', '--out', 'out'], 1, 'exported contains no pictures'),
        (['exported', 'photos/a.png', 'photos', '--out', 'c.webp'], 1, 'c.webp'),
        (['exported', 'photos/sub/b.jpg', 'b.jpg', '--out', 'out'], 1, 'would both become b.jpg'),
    ],
)
def test_what_is_wrong_is_one_line(deploy, folder, arguments, status, message):
    (folder / 'b.jpg').write_bytes((folder / 'photos/sub/b.jpg').read_bytes())
    assert message in deploy(*arguments, status=status).splitlines()[-1]
    assert not (folder / 'out').exists()


@pytest.mark.slow
@pytest.mark.e2e
def test_wheel_runs_with_its_requirements_only(folder, tmp_path):
    """In a new environment, with what the extra asks for and nothing else."""
    pip = [sys.executable, '-m', 'pip', '-q', '--disable-pip-version-check']
    run(*pip, 'wheel', '--no-deps', '--no-build-isolation', '-w', tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (archive.read(name).decode() for name in archive.namelist() if name.endswith('/METADATA'))
    marked = [line for line in metadata.splitlines() if line.endswith('extra == "deploy"')]
    needed = [line.partition(': ')[2].partition(';')[0] for line in marked]
    assert sorted(needed) == ['Pillow', 'numpy', 'onnxruntime']
    run(sys.executable, '-m', 'venv', tmp_path / 'env', cwd=tmp_path)
    python = tmp_path / 'env/bin/python'
    run(python, '-m', 'pip', '-q', 'install', '--no-deps', wheel, cwd=tmp_path, PYTHONPATH='')
    run(python, '-m', 'pip', '-q', 'install', *needed, cwd=tmp_path, PYTHONPATH='')
    installed = run(python, '-m', 'pip', 'list', '--format=freeze', cwd=tmp_path, PYTHONPATH='')
    assert 'torch' not in installed and 'mmengine' not in installed
    output = run(python, '-m', 'mmcontnet.deploy', 'exported', 'photos', '--out', 'out', cwd=folder, PYTHONPATH='')
    assert '2 pictures are in out' in output
