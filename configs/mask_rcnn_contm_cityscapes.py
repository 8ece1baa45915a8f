_base_ = ['mmdet::cityscapes/mask-rcnn_r50_fpn_1x_cityscapes.py', '_base_/contnet.py']

model = dict(
    backbone=dict(_delete_=True, type='ConTNet', arch='m'),
    neck=dict(in_channels=[64, 128, 256, 1024]),
)

# The published rows start from ImageNet, not from COCO.
load_from = None
# The toolbox's learning rate is for 8 GPUs with an image each.
auto_scale_lr = dict(base_batch_size=8)
