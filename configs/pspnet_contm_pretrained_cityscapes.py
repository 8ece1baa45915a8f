_base_ = ['pspnet_contm_cityscapes.py', '_base_/pretrained.py']

model = dict(backbone=_base_.fine_tuning)
