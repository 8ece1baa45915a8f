# Center sampling, normalized box targets, centerness beside the boxes, GIoU loss.
_base_ = [
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py',
    '_base_/contnet.py',
]

model = dict(
    # The base config is for a caffe ResNet; these are the mean and std of ImageNet, RGB.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(_delete_=True, type='ConTNet', arch='m'),
    neck=dict(in_channels=[64, 128, 256, 1024]),
)
