_base_ = 'streets_conts.py'

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_eval=False),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
