"""Looks at all data that a config points to, before hours of training are spent on it.

    python tools/check_data.py configs/retinanet_contm_coco.py

It ends with status 1 where training or evaluation would break or use something wrong.
"""

import argparse
import os
import sys

from mmengine.config import Config, DictAction

from mmcontnet.datasets.check_config import MOST_WORKERS, check_config, summarise
from mmcontnet.engine.entry_points import check_options


def main() -> None:
    """Checks and reports."""
    parser = argparse.ArgumentParser(description='Looks at all data that a config points to.')
    parser.add_argument('config', help='config of mmdet (data in the layout of COCO), mmseg or mmpretrain')
    workers = min(os.cpu_count(), MOST_WORKERS)
    parser.add_argument('--workers', type=int, default=workers, help='threads that read images (default: cores)')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='changes to the config, as KEY=VALUE')
    args = parser.parse_args()
    try:
        cfg = Config.fromfile(args.config)
        check_options(cfg, args.cfg_options or {})
        cfg.merge_from_dict(args.cfg_options or {})
        findings = check_config(cfg, args.workers)
    except (FileNotFoundError, ModuleNotFoundError, ValueError) as error:
        sys.exit(f'{args.config}: {error}')
    print(summarise(findings))
    sys.exit(any(not finding.harmless for finding in findings))


if __name__ == '__main__':
    main()
