_base_ = ['_base_/contnet_classifier.py', '_base_/imagenet_strong.py']

model = dict(
    backbone=dict(arch='m'),
    head=dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)),
)
