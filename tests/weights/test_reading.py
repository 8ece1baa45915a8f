import os
import pickle
import tarfile
import zipfile
from urllib.error import URLError

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader, _load_checkpoint

from mmcontnet.weights.reading import get_state_dict, read_checkpoint


def write_tar(path):
    with tarfile.open(path, 'w') as tar:
        tar.add(__file__)


def write_truncated(path):
    torch.save({'a': torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])


class Malicious:
    """Would create the file that its pickle names."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), 'w')


def write_compressed(path):
    torch.save({'a': torch.zeros(10**6)}, path)
    with zipfile.ZipFile(path) as source:
        parts = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as target:
        for name, content in parts.items():
            target.writestr(name, content)


# How the file is written, and words of the message.
FILES = {
    'missing': (lambda path: None, 'there is no such file'),
    'folder': (lambda path: path.mkdir(), 'Is a directory'),
    'link to itself': (lambda path: path.symlink_to(path), 'Too many levels of symbolic links'),
    'pipe': (os.mkfifo, 'it is no regular file'),
    'device': (lambda path: path.symlink_to('/dev/zero'), 'it is no regular file'),
    'compressed': (write_compressed, 'it is compressed and would take 4 MiB'),
    'empty': (lambda path: path.touch(), 'it is empty, damaged or of another format'),
    'text': (lambda path: path.write_text('weights'), 'it is empty, damaged or of another format'),
    'digit': (lambda path: path.write_text('e'), 'it is empty, damaged or of another format'),
    'truncated': (write_truncated, 'it is empty, damaged or of another format'),
    'tar': (write_tar, 'it is empty, damaged or of another format'),
    'zip': (lambda path: path.write_bytes(b'PK\x05\x06' + bytes(18)), 'it is empty, damaged or of another format'),
    'TorchScript': (
        lambda path: torch.jit.script(torch.nn.Linear(2, 2)).save(str(path)),
        'it is a TorchScript archive',
    ),
    'code': (lambda path: torch.save({'a': Malicious(path.with_name('mark'))}, path), 'which may run code'),
    'pickle': (
        lambda path: path.write_bytes(pickle.dumps(Malicious(path.with_name('mark')))),
        'cannot be read',
    ),
    'module': (lambda path: torch.save(torch.nn.Linear(2, 2), path), 'which may run code'),
    'list': (lambda path: torch.save([torch.zeros(2)], path), 'holds list; expected a dict of weights'),
    'None': (lambda path: torch.save(None, path), 'holds NoneType'),
    'number': (lambda path: torch.save(3, path), 'holds int'),
    'string': (lambda path: torch.save('a', path), 'holds str'),
    'tensor': (lambda path: torch.save(torch.zeros(2, 3), path), 'holds a tensor of shape (2, 3)'),
}


@pytest.mark.parametrize('name', FILES)
@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore::FutureWarning')
def test_other_files_are_refused_by_name(name, tmp_path):
    """By ours and by mmengine's functions, which read by ours."""
    write, words = FILES[name]
    path = tmp_path / 'weights.pth'
    write(path)
    for read in (read_checkpoint, lambda path: _load_checkpoint(str(path))):
        with pytest.raises(ValueError) as error:
            read(path)
        message = str(error.value)
        assert message.startswith(str(path)) and words in message and '\n' not in message
        assert 'weights_only' not in message and error.value.__suppress_context__ == ('holds' not in words)
    assert not (tmp_path / 'mark').exists()


def test_paths_and_urls(tmp_path, monkeypatch):
    path = tmp_path / 'weights.pth'
    torch.save({'a': torch.ones(2)}, path)
    for source in (path, str(path)):
        assert read_checkpoint(source)['a'].tolist() == [1, 1]
    calls = []

    def load_url(url, **settings):
        calls.append((url, settings['weights_only']))
        return {'a': torch.ones(2)}

    monkeypatch.setattr('mmcontnet.weights.reading.load_state_dict_from_url', load_url)
    for source in ('https://example.org/weights.pth', 'http://example.org/weights.pth'):
        CheckpointLoader.load_checkpoint(source)
        assert calls.pop() == (source, True)


@pytest.mark.parametrize(
    'source, words',
    [
        ('nowhere://a.pth', 'no storage is known whose addresses begin with nowhere://'),
        ('http://example.org/a.pth', 'name or service not known'),
        (f'{__file__}/a.pth', 'Not a directory'),
        ('x' * 999, 'File name too long'),
    ],
)
def test_what_cannot_be_reached_is_not_called_damaged(source, words, monkeypatch):
    def fail(*_, **__):
        raise URLError('name or service not known')

    monkeypatch.setattr('mmcontnet.weights.reading.load_state_dict_from_url', fail)
    with pytest.raises(ValueError, match=f'{words}>?$'):
        read_checkpoint(source)


@pytest.mark.parametrize(
    'content, words',
    [
        ({'state_dict': [1]}, 'state_dict is list'),
        ({1: 2}, 'is called 1'),
        ({'a': 1, 'module.a': 2}, "with and without the prefix 'module.'"),
    ],
)
def test_what_is_no_state_dict(content, words):
    with pytest.raises(ValueError, match=f'^file.pth: .*{words}'):
        get_state_dict(content, 'file.pth')


def test_prefix_of_data_parallelism_is_dropped():
    weights = {'module.a': 1, 'b.module.a': 2}
    for content in (weights, {'state_dict': weights}):
        assert get_state_dict(content, '') == {'a': 1, 'b.module.a': 2}
