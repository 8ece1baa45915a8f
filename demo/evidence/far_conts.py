_base_ = '../retinanet_conts_shapes.py'

# Half of the usual channels, and of the images in a batch: more steps in the same time.
model = dict(
    neck=dict(out_channels=128),
    bbox_head=dict(in_channels=128, feat_channels=128),
)
# The best of the search in docs/evidence.md.
optim_wrapper = dict(optimizer=dict(lr=3e-4))

data_root = 'work_dirs/evidence/far/'
train_dataloader = dict(batch_size=4, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
