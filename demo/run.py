"""The demo: trains RetinaNet with ConT-S on drawn shapes, evaluates it, and shows its detections.

Example:
    python demo/run.py  # or: make demo

Everything is written to work_dirs/demo.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import json
import subprocess
import time
from pathlib import Path
from typing import List

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt
import mmcv
import numpy as np
from mmdet.apis import DetInferencer
from shapes import draw, write_coco

from mmcontnet.commands import command, command_parser

ROOT = Path(__file__).resolve().parents[1]
CONFIG = 'demo/retinanet_conts_shapes.py'
OUT = Path('work_dirs/demo')
PICTURES = 6
SCORE = 0.5


def run(*words: str) -> None:
    """Runs a command in the root of the project, showing it."""
    print(f'\n$ {" ".join(words)}', flush=True)
    status = subprocess.run(words, cwd=ROOT).returncode
    if status:
        raise ValueError(f'The demo stopped: {" ".join(words)} ended with status {status}; see its output above')


def newest(folder: Path, pattern: str) -> Path:
    """The file that was written last."""
    return max(folder.rglob(pattern), key=lambda path: path.stat().st_mtime)


def read_log(path: Path) -> List[dict]:
    """What mmengine logged, a dict for each line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def plot_curves(log: List[dict], path: Path) -> None:
    """Draws the training loss and the AP on the validation images over the epochs."""
    train = [row for row in log if 'loss' in row]
    val = [row for row in log if 'coco/bbox_mAP' in row]
    per_epoch = train[-1]['step'] / train[-1]['epoch']
    figure, loss_axis = plt.subplots(figsize=(7, 4), layout='constrained')
    ap_axis = loss_axis.twinx()
    loss_axis.plot([row['step'] / per_epoch for row in train], [row['loss'] for row in train], 'C0')
    for key, style, label in (('coco/bbox_mAP', 'C1o-', 'AP'), ('coco/bbox_mAP_50', 'C2o-', 'AP50')):
        ap_axis.plot([row['step'] for row in val], [row[key] for row in val], style, label=label)
    loss_axis.set(xlabel='epoch', ylabel='training loss')
    loss_axis.yaxis.label.set_color('C0')
    ap_axis.set(ylabel='box AP on validation images', ylim=(0, 1))
    ap_axis.legend(loc='center right')
    figure.savefig(path, dpi=120)


def join_pictures(folder: Path, path: Path) -> None:
    """Puts the first pictures of a folder, two to a row, into one."""
    pictures = [mmcv.imread(str(file)) for file in sorted(folder.iterdir())[:PICTURES]]
    border = 4
    pictures = [mmcv.impad(picture, padding=border, pad_val=(255, 255, 255)) for picture in pictures]
    rows = [np.concatenate(pictures[i : i + 2], 1) for i in range(0, len(pictures), 2)]
    mmcv.imwrite(np.concatenate(rows), str(path))


def predict_new_picture(checkpoint: str) -> Path:
    """Draws a picture that is in neither split, and writes it with the detections of MMDetection's inferencer."""
    out = ROOT / OUT / 'predicted'
    out.mkdir(exist_ok=True)
    picture, _ = draw(np.random.default_rng(2026))
    mmcv.imwrite(picture, str(out / 'new.jpg'))
    detect = DetInferencer(str(ROOT / CONFIG), checkpoint)
    detect(str(out / 'new.jpg'), out_dir=str(out), pred_score_thr=SCORE)
    return out / 'vis/new.jpg'


@command
def main() -> None:
    """Runs the steps."""
    command_parser(__doc__).parse_args()
    start = time.time()
    work_dir = ROOT / OUT
    write_coco(work_dir / 'shapes')
    print(f'Drew the images in {OUT}/shapes')
    run('python', 'tools/train.py', CONFIG, '--work-dir', f'{OUT}/train')
    checkpoint = (work_dir / 'train' / 'last_checkpoint').read_text()
    run('python', 'tools/test.py', CONFIG, checkpoint, '--work-dir', f'{OUT}/test', '--show-dir', 'pictures')

    metrics = read_log(newest(work_dir / 'test', '*.json'))[-1]
    pictures = newest(work_dir / 'test', 'pictures')
    plot_curves(read_log(newest(work_dir / 'train', 'scalars.json')), work_dir / 'curves.png')
    join_pictures(pictures, work_dir / 'detections.png')
    predicted = predict_new_picture(str(ROOT / checkpoint))
    print(f'\nAP {metrics["coco/bbox_mAP"]:.3f}, AP50 {metrics["coco/bbox_mAP_50"]:.3f} on the validation images')
    print(f'after {(time.time() - start) / 60:.1f} minutes')
    print(f'Detections, ground truth on the left: {OUT}/detections.png; all of them: {pictures.relative_to(ROOT)}')
    print(f'Detections on a new picture: {predicted.relative_to(ROOT)}')
    print(f'Loss and AP over the epochs: {OUT}/curves.png')


if __name__ == '__main__':
    main()
