import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, MODELS
from torch import nn
from torch.utils.data import Dataset

from mmcontnet.comparison.cost import make_step


@DATASETS.register_module()
class Ones(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.ones(3, 8, 8))


@MODELS.register_module()
class Mean(BaseModel):
    dtypes = []

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, inputs, mode):
        maps = self.conv(inputs)
        self.dtypes.append(maps.dtype)
        return dict(loss=maps.mean())


@pytest.mark.parametrize(
    'wrapper, dtype',
    [
        (dict(type='OptimWrapper'), torch.float32),
        (dict(type='AmpOptimWrapper'), torch.bfloat16),  # That of a CPU.
        (dict(type='AmpOptimWrapper', dtype='bfloat16'), torch.bfloat16),
    ],
)
def test_step_is_in_the_precision_of_the_training(wrapper, dtype):
    loader = dict(
        dataset=dict(type='Ones'),
        batch_size=2,
        num_workers=2,
        persistent_workers=True,
        sampler=dict(type='DefaultSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
    )
    cfg = Config(
        dict(default_scope='mmengine', model=dict(type='Mean'), train_dataloader=loader, optim_wrapper=wrapper)
    )
    step, images, parameters = make_step(cfg, 'cpu')
    assert images.shape == (2, 3, 8, 8) and parameters == 8
    step()
    assert Mean.dtypes.pop() == dtype
