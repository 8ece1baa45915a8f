_base_ = ['_base_/contnet_classifier.py', '_base_/imagenet.py']

model = dict(backbone=dict(arch='b'))
