_base_ = ['mmseg::sem_fpn/fpn_r50_4xb2-80k_cityscapes-512x1024.py', '../../configs/_base_/contnet.py']

# The semantic FPN of mmseg, with a quarter of its channels.
crop_size = (224, 224)
model = dict(
    pretrained=None,
    data_preprocessor=dict(size=crop_size),
    backbone=dict(_delete_=True, type='ConTNet', arch='s', pre_norm=True),
    neck=dict(in_channels=[64, 128, 256, 1024], out_channels=64),
    decode_head=dict(in_channels=[64, 64, 64, 64], channels=32),
    # Windows of the size of the crops: a patch of ConTNet's third stage is as large as a crop.
    test_cfg=dict(mode='slide', crop_size=crop_size, stride=(136, 128)),
)

train_pipeline = _base_.train_pipeline
train_pipeline[2].update(scale=(480, 360), ratio_range=(0.75, 1.5))
train_pipeline[3].crop_size = crop_size
test_pipeline = _base_.test_pipeline
test_pipeline[1].scale = (480, 360)
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

max_iters = 240
train_cfg = dict(max_iters=max_iters, val_interval=60)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=1e-5, by_epoch=False),
]
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=60))
