_base_ = ['retinanet_contm_coco.py', '_base_/pretrained.py']

model = dict(backbone=_base_.fine_tuning)
