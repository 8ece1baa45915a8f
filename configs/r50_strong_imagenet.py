_base_ = ['mmpretrain::_base_/models/resnet50.py', '_base_/imagenet_strong.py']

model = dict(head=dict(loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1)))
