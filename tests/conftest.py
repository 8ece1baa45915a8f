import os
import signal
from functools import lru_cache
from pathlib import Path

if 'PYTEST_XDIST_WORKER' in os.environ:  # Other workers need the other cores.
    os.environ['OMP_NUM_THREADS'] = '1'

import pytest
import shapes
import torch
from mmengine.config import config
from yapf.yapflib import yapf_api

ROOT = Path(__file__).resolve().parents[1]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # As in a shell's background; the commands under test inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """Files with tests that start commands come first, then those with slow ones: short ones are left for the end."""

    def markers(item):
        return {marker.name for marker in item.iter_markers()}

    marked = {}
    for item in items:
        marked.setdefault(item.path, set()).update(markers(item))
    items.sort(key=lambda item: ('e2e' not in marked[item.path], 'slow' not in marked[item.path]))


@pytest.fixture(scope='session')
def golden():
    """Inputs and outputs of the authors' release."""
    return torch.load(ROOT / 'tests/data/contnet_golden.pt', weights_only=True)


@pytest.fixture(scope='session', autouse=True)
def format_once():
    """A runner formats its config four times, which takes a good part of the time of short ones."""
    format_code = yapf_api.FormatCode
    cached = lru_cache(lambda text, style: format_code(text, style_config=dict(style)))

    def formatted(text, style_config):
        return cached(text, tuple(style_config.items()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yapf_api, 'FormatCode', formatted)  # OneDL's mmengine imports it at each call.
        patch.setattr(config, 'FormatCode', formatted, raising=False)
        yield


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.fixture
def tiny():
    """Arguments of a network that takes milliseconds.

    Not narrower: the strided 1x1 convolution of fewer than 16 channels corrupts memory in the backward pass of
    oneDNN (https://github.com/uxlfoundation/oneDNN/issues/6035).
    """
    return dict(arch=dict(width=16, depths=(1, 2, 1, 2), mlp_widths=(16, 32, 64, 64)))


@pytest.fixture(scope='module')
def shapes_folder(tmp_path_factory):
    """A folder with the demo's data, nine images of them."""
    folder = tmp_path_factory.mktemp('project')
    counts, shapes.COUNTS = shapes.COUNTS, {'train2017': 6, 'val2017': 3}
    shapes.write_coco(folder / 'work_dirs/demo/shapes')
    shapes.COUNTS = counts
    return folder
