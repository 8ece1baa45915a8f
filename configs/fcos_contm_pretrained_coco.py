_base_ = ['fcos_contm_coco.py', '_base_/pretrained.py']

model = dict(backbone=_base_.fine_tuning)
