"""A training with everything that is random: order, augmentation in workers or not, dropout.

python tests/toy_training.py {epochs,iterations} WORK_DIR [SEED]
"""

import random
import sys

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from mmcontnet import ConTNet


@DATASETS.register_module()
class Noisy(Dataset):
    def __len__(self):
        return 12

    def __getitem__(self, index):
        noise = random.random() + np.random.rand() + torch.rand(3, 28, 28)
        return torch.full((3, 28, 28), index / 12) + 0.1 * noise, index % 3


@MODELS.register_module()
class Classifier(BaseModel):
    def __init__(self):
        super().__init__()
        arch = dict(width=16, depths=(1, 1, 1, 1), mlp_widths=(8, 8, 8, 8), dropouts=(0.1, 0.1, 0.1, 0.1))
        self.backbone = ConTNet(arch=arch, out_indices=(3,))
        self.head = nn.Linear(256, 3)
        # Makes checkpoints so large that a good part of the time goes into writing them.
        self.ballast = nn.Parameter(torch.zeros(10_000_000))

    def forward(self, images, labels, mode):
        logits = self.head(F.dropout(self.backbone(images)[0].mean((2, 3)), 0.2, self.training))
        return dict(loss=F.cross_entropy(logits, labels)) if mode == 'loss' else [logits]


@METRICS.register_module()
class Nothing(BaseMetric):
    def process(self, data_batch, data_samples):
        torch.rand(1)
        self.results.append(0)

    def compute_metrics(self, results):
        return dict(zero=0.0)


def make_config(loop, work_dir, seed=None):
    by_epoch = loop == 'epochs'
    steps = dict(by_epoch=True, max_epochs=4) if by_epoch else dict(by_epoch=False, max_iters=12)
    workers = dict(num_workers=1, persistent_workers=True) if by_epoch else dict(num_workers=0)
    sampler = dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True)
    checkpoint = dict(type='CheckpointHook', interval=1 if by_epoch else 3, by_epoch=by_epoch, max_keep_ckpts=1)
    data = dict(dataset=dict(type='Noisy'), batch_size=4, collate_fn=dict(type='default_collate'))
    return Config(
        dict(
            model=dict(type='Classifier'),
            work_dir=str(work_dir),
            train_dataloader=dict(**data, sampler=sampler, **workers),
            val_dataloader=dict(**data, sampler=dict(type='DefaultSampler', shuffle=False)),
            val_evaluator=dict(type='Nothing'),
            val_cfg=dict(),
            train_cfg=dict(**steps, val_interval=1 if by_epoch else 2),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-2)),
            param_scheduler=dict(type='PolyLR', end=12, by_epoch=False),
            default_hooks=dict(checkpoint=checkpoint),
            custom_hooks=[dict(type='ExactResumeHook'), dict(type='FiniteHook')],
            resume=True,
            randomness=dict(seed=seed and int(seed)),
            log_level='WARNING',
        )
    )


def main(loop, work_dir, seed=None):
    runner = Runner.from_cfg(make_config(loop, work_dir, seed))
    print('begins', flush=True)
    runner.train()


if __name__ == '__main__':
    torch.set_num_threads(1)
    main(*sys.argv[1:])
