_base_ = ['_base_/contnet_classifier.py', '_base_/imagenet_strong.py']

model = dict(
    backbone=dict(arch='ti'),
    head=dict(in_channels=768, loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)),
)
