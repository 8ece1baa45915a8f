"""python -m mmcontnet.deploy"""

import os
import runpy
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT
from constant_models import write_exported
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    write_exported(tmp_path / 'exported')
    for name in ('photos/a.png', 'photos/sub/b.jpg', 'c.webp', 'd.tif', 'unnamed'):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((60, 80, 3), 200, np.uint8)).save(tmp_path / name, 'PNG' if name == 'unnamed' else None)
    (tmp_path / 'photos/notes.txt').write_text('notes')
    return tmp_path


@pytest.fixture
def deploy(folder, monkeypatch, capsys):
    """Runs the command in this process; returns what it prints."""
    monkeypatch.chdir(folder)

    def deploy(*arguments, status=0):
        monkeypatch.setattr(sys, 'argv', ['deploy', *arguments])
        ended_with = 0
        try:
            runpy.run_module('mmcontnet.deploy', run_name='__main__')
        except SystemExit as error:
            ended_with = error.code or 0
        if isinstance(ended_with, str):  # Python prints it and ends with 1.
            print(ended_with)
            ended_with = 1
        assert ended_with == status
        return ''.join(capsys.readouterr()[::-1])

    return deploy


# Runs the module as if neither torch nor a toolbox were installed.
RUN = """
import runpy, sys
sys.modules.update(dict.fromkeys(['torch', 'mmengine', 'mmcv', 'mmdet', 'cv2', 'onnx']))
runpy.run_module('mmcontnet.deploy', run_name='__main__', alter_sys=True)
"""


def test_pictures_are_drawn_where_torch_is_not_installed(folder):
    inputs = ['photos', 'c.webp', 'd.tif', 'unnamed']
    env = {**os.environ, 'PYTHONPATH': str(ROOT)}
    command = [sys.executable, '-c', RUN, 'exported', *inputs, '--out', 'out']
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert result.stdout == '5 pictures are in out\n' and not result.stderr
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
    Image.new('RGB', (500, 1)).save(folder / 'photos/line.png')
    text = deploy('exported', 'photos', '--out', 'out', status=1)
    assert 'photos/bad.jpg cannot be read as a picture: Pillow does not know its format\n' in text
    assert 'photos/line.png: picture is too narrow: 500x1 pixels would become 80x0\n' in text
    assert text.count('\n') == 4 and '2 of 4 pictures were skipped' in text
    assert (folder / 'out/a.png').is_file()


def test_names_are_printed_without_what_a_terminal_would_obey(deploy, folder):
    name = os.fsdecode(b'\x1b[2J\n\xff.jpg')
    (folder / 'photos' / name).write_text('no picture')
    text = deploy('exported', f'photos/{name}', '--out', f'out{name}', status=1)
    assert r'photos/\x1b[2J\n\udcff.jpg cannot be read as a picture' in text and r'are in out\x1b[2J' in text
    (folder / name).mkdir()
    assert deploy(name, 'photos', '--out', 'new', status=1).startswith(r'\x1b[2J\n\udcff.jpg holds no exported model')


def test_interruption_while_predicting_is_status_130(deploy, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr('PIL.Image.open', interrupt)
    assert deploy('exported', 'photos', '--out', 'out', status=130) == 'Interrupted\n'


def test_results_are_no_pictures_of_the_next_call(deploy, folder):
    for _ in range(2):
        assert deploy('exported', 'photos', '--out', 'photos/predictions') == '2 pictures are in photos/predictions\n'
    assert not (folder / 'photos/predictions/predictions').exists()


def test_missing_onnxruntime_says_what_to_install(deploy, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    text = deploy('exported', 'photos', '--out', 'out', status=1)
    assert text.endswith('; pip install onnxruntime\n') and text.count('\n') == 1


@pytest.mark.parametrize(
    'arguments, status, message',
    [
        (['exported'], 2, 'the following arguments are required: INPUT'),
        (['missing', 'photos', '--out', 'out'], 1, 'missing holds no exported model'),
        (['exported', 'nowhere', '--out', 'out'], 1, 'nowhere does not exist'),
        (['exported', 'exported', '--out', 'out'], 1, 'exported contains no pictures'),
        (['exported', 'photos', '--out', 'c.webp'], 2, 'argument --out: c.webp is no folder'),
        (['exported', 'photos', '--out', 'c.webp/out'], 1, 'c.webp/out'),
        (['exported', 'photos/sub/b.jpg', 'b.jpg', '--out', 'out'], 1, 'would both become b.jpg'),
        (['exported', 'photos', '--out', 'photos'], 1, 'photos is in the folder that results are written to; choose'),
        (['exported', 'photos/sub', '--out', 'photos'], 1, 'photos/sub is in the folder that results are written to'),
        (['exported', 'b.jpg', '--out', '.'], 1, 'b.jpg is in the folder that results are written to'),
        (['exported', 'photos', '--out', 'out', '--score', '30'], 2, "'30' is no number from 0 to 1"),
        (['exported', 'photos', '--out', 'out', '--score', 'nan'], 2, "'nan' is no number from 0 to 1"),
    ],
)
def test_what_is_wrong_is_one_line(deploy, folder, arguments, status, message):
    (folder / 'b.jpg').write_bytes((folder / 'photos/sub/b.jpg').read_bytes())
    assert message in deploy(*arguments, status=status).splitlines()[-1]
    assert not (folder / 'out').exists()
