import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import TensorDataset

from mmcontnet.weights.safe_globals import history_buffer_method, register_safe_globals


class Model(torch.nn.Linear):
    def __init__(self):
        super().__init__(2, 1)

    def train_step(self, data, optim_wrapper):
        loss = self(data[0]).square().mean()
        optim_wrapper.update_params(loss)
        return dict(loss=loss)


def train(work_dir, epochs, **settings):
    model = Model()
    runner = Runner(
        model,
        str(work_dir),
        train_dataloader=dict(
            batch_size=2,
            sampler=dict(type='DefaultSampler', shuffle=True),
            dataset=TensorDataset(torch.ones(8, 2)),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)),
        experiment_name=f'{work_dir.name}_{epochs}',
        default_scope='mmengine',
        **settings,
    )
    runner.train()
    return runner


def test_mmengine_checkpoints_load_and_resume(tmp_path):
    train(tmp_path, 2)
    checkpoint = torch.load(tmp_path / 'epoch_2.pth', weights_only=True)
    losses = checkpoint['message_hub']['log_scalars']['train/loss']
    assert isinstance(losses, HistoryBuffer) and losses.statistics('mean') > 0
    resumed = train(tmp_path, 3, resume=True)
    assert resumed.epoch == 3
    assert (tmp_path / 'epoch_3.pth').exists()


def test_best_scores_load(tmp_path):
    hub = MessageHub.get_instance('scores')
    for kind in (np.float32, np.float64, np.int64):
        hub.update_info(f'best_{kind.__name__}', kind(3))
    torch.save(hub.state_dict(), tmp_path / 'hub.pth')
    info = torch.load(tmp_path / 'hub.pth', weights_only=True)['runtime_info']
    assert info['best_float32'] == info['best_float64'] == info['best_int64'] == 3


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def save(content, path):
    """Writes what torch.save would, with a pickle that keeps the calls."""
    torch.save({}, path.with_suffix('.empty'))
    with zipfile.ZipFile(path.with_suffix('.empty')) as source, zipfile.ZipFile(path, 'w') as target:
        for name in source.namelist():
            pickled = pickle.dumps(content, protocol=2) if name.endswith('data.pkl') else source.read(name)
            target.writestr(name, pickled)


@pytest.mark.parametrize(
    'content',
    [
        lambda mark: Calls(os.system, f'touch {mark}'),
        lambda mark: Calls(os.mkdir, str(mark)),
        lambda mark: Calls(eval, f'open({str(mark)!r}, "w")'),
        lambda mark: Calls(getattr, dict, 'fromkeys'),
        lambda mark: Calls(getattr, HistoryBuffer.mean, '__globals__'),
        lambda mark: Calls(getattr, HistoryBuffer, '__init__'),
        lambda mark: Calls(getattr, HistoryBuffer, 'register_statistics'),
        lambda mark: Calls(getattr, np.ndarray, 'tofile'),
        lambda mark: Calls(history_buffer_method, HistoryBuffer, 'min'),
    ],
)
def test_other_pickles_are_refused_and_run_nothing(tmp_path, content):
    mark = tmp_path / 'mark'
    save({'state_dict': content(mark)}, tmp_path / 'bad.pth')
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / 'bad.pth', weights_only=True)
    assert not mark.exists()


def test_allowed_getattr_still_loads(tmp_path):
    save({'method': Calls(getattr, HistoryBuffer, 'mean')}, tmp_path / 'good.pth')
    assert torch.load(tmp_path / 'good.pth', weights_only=True)['method'] is HistoryBuffer.mean


@pytest.mark.parametrize('owner, name', [(HistoryBuffer, '__class__'), (object, 'mean'), (os, 'system')])
def test_only_four_methods_are_handed_out(owner, name):
    with pytest.raises(pickle.UnpicklingError, match=name):
        history_buffer_method(owner, name)


def test_importing_again_is_harmless():
    register_safe_globals()
