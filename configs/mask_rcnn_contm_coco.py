_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', '_base_/contnet.py']

model = dict(
    backbone=dict(_delete_=True, type='ConTNet', arch='m'),
    neck=dict(in_channels=[64, 128, 256, 1024]),
)
