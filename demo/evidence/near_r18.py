_base_ = 'near_conts.py'

model = dict(
    backbone=dict(_delete_=True, type='ResNet', depth=18, norm_eval=False),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
# The best of the search in docs/evidence.md.
optim_wrapper = dict(optimizer=dict(lr=1e-3))
