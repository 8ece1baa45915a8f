_base_ = ['mask_rcnn_contm_cityscapes.py', '_base_/pretrained.py']

model = dict(backbone=_base_.fine_tuning)
