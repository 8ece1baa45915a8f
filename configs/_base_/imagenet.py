_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_pil_resize.py',
    'mmpretrain::_base_/default_runtime.py',
    'mmcontnet.py',
]

# The authors' recipe, for 8 GPUs with 64 images each. What the paper leaves open is as in the released training script:
# the cosine runs from the start, below the warm-up, and ends at 0; no drop path, no random erasing; bilinear crops of
# 224 pixels, evaluation on the center of 256. Inferred, not published: the ResNets have the very same recipe, and the
# plain one augments by crops and flips alone.
optim_wrapper = dict(
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.5),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, custom_keys={'.position.': dict(decay_mult=0.0)}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', T_max=200, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=200, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=512)
