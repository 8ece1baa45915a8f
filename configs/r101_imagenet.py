_base_ = ['mmpretrain::_base_/models/resnet101.py', '_base_/imagenet.py']
