"""The ten-minute tour, a script in notebook form: build the backbone, look at its maps, train a detector, predict.

Example:
    python demo/tour.py
    python demo/tour.py --images 64 --epochs 1  # only to see it run
    jupytext --to notebook demo/tour.py         # a notebook; VS Code opens the script itself as one

Everything is written to work_dirs/tour.
"""

# %% [markdown]
# # ConTNet in ten minutes
#
# Each cell is a few lines to copy from. Most of the time is training.

# %%
import sys
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import shapes
import torch
from mmdet.apis import DetInferencer
from mmengine.config import Config
from mmengine.runner import Runner

from mmcontnet import ConTNet
from mmcontnet.commands import command_parser, positive_int

parser = command_parser(__doc__)
parser.add_argument('--images', type=positive_int, default=720, help='training images to draw (default: 720)')
parser.add_argument('--epochs', type=positive_int, default=4, help='epochs to train for (default: 4)')
parser.add_argument('--out', type=Path, default=Path('work_dirs/tour'), help='folder (default: work_dirs/tour)')
args = parser.parse_args([] if 'ipykernel' in sys.modules else None)
out = args.out
demo = Path(__file__).parent if '__file__' in globals() else Path.cwd()

# %% [markdown]
# ## Data
#
# Drawn circles, triangles, squares and stars, in COCO layout.

# %%
shapes.COUNTS = dict(train2017=args.images, val2017=60)
shapes.write_coco(out / 'shapes')
picture = cv2.imread(str(out / 'shapes/val2017/000001.jpg'))[..., ::-1]  # (384, 480, 3), RGB

# %% [markdown]
# ## The backbone
#
# ConT-S, with random weights. It takes images of any size and returns maps at strides 4, 8, 16 and 32.

# %%
backbone = ConTNet('s').eval()
images = torch.tensor(picture.copy()).permute(2, 0, 1)[None]  # (1, 3, 384, 480)
images = (images - 116) / 57  # about the mean and the standard deviation of ImageNet
with torch.no_grad():
    maps = backbone(images)
print(f'{sum(weight.numel() for weight in backbone.parameters()) / 1e6:.1f} M parameters')
for stride, x in zip(backbone.out_strides, maps):
    print(f'stride {stride:2}: {tuple(x.shape)}')

# %% [markdown]
# The three principal components of each map, as colors.


# %%
def show_maps(backbone: ConTNet, name: str) -> None:
    """Draws the picture and the backbone's maps side by side."""
    with torch.no_grad():
        maps = backbone.eval()(images.to(next(backbone.parameters()).device))
    figure, axes = plt.subplots(1, 5, figsize=(15, 3), layout='constrained')
    axes[0].imshow(picture)
    for axis, stride, x in zip(axes[1:], backbone.out_strides, maps):
        pixels = x[0].flatten(1).T.cpu()  # (H * W, C)
        colors = pixels @ torch.pca_lowrank(pixels)[2][:, :3]
        low, high = colors.quantile(torch.tensor([0.02, 0.98]), 0)
        colors = ((colors - low) / (high - low)).clamp(0, 1)
        axis.imshow(colors.unflatten(0, x.shape[2:]))
        axis.set_title(f'stride {stride}')
    for axis in axes:
        axis.axis('off')
    figure.savefig(out / name)


show_maps(backbone, 'maps.png')

# %% [markdown]
# ## Training
#
# RetinaNet with this backbone. The config inherits from MMDetection's RetinaNet and states what differs.

# %%
cfg = Config.fromfile(demo / 'retinanet_conts_shapes.py')
for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
    loader.dataset.data_root = f'{out}/shapes/'
for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
    evaluator.ann_file = f'{out}/shapes/annotations/instances_val2017.json'
cfg.train_cfg.max_epochs = cfg.param_scheduler[1].T_max = cfg.default_hooks.checkpoint.interval = args.epochs
cfg.work_dir = str(out / 'train')
runner = Runner.from_cfg(cfg)
runner.train()

# %% [markdown]
# The maps of the trained backbone.

# %%
show_maps(runner.model.backbone, 'trained_maps.png')

# %% [markdown]
# ## Prediction
#
# MMDetection's own inferencer reads the checkpoint. The picture is a new one, in neither split.

# %%
new_picture, _ = shapes.draw(np.random.default_rng(2026))
cv2.imwrite(str(out / 'new.jpg'), new_picture)
detect = DetInferencer(cfg, str(out / f'train/epoch_{args.epochs}.pth'))
result = detect(str(out / 'new.jpg'), out_dir=str(out / 'predicted'), pred_score_thr=0.3, return_vis=True)
plt.figure()
plt.imshow(result['visualization'][0])
for label, score, box in zip(*(result['predictions'][0][key] for key in ('labels', 'scores', 'bboxes'))):
    if score >= 0.3:
        print(f'{shapes.CLASSES[label]:8} {score:.2f} at {[round(side) for side in box]}')
print(f'Maps: {out}/maps.png, trained: {out}/trained_maps.png; predictions: {out}/predicted/vis/new.jpg')

# %% [markdown]
# ## From here
#
# - other backbones and necks: `configs/README.md`
# - real data: `docs/data.md`
# - pretrained weights: `checkpoints/contm.pth` in the README
