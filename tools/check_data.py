"""Validates a dataset before training: reads every annotation and every image that a config points to.

Example:
    python tools/check_data.py configs/retinanet_contm_coco.py

The exit status is 1 if anything would break training or evaluation, or would silently be used wrongly.
"""

import signal

if __name__ == '__main__' and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends the imports without a traceback.

import os
import sys

from mmcontnet.commands import about, add_cfg_options, command, command_parser, config_file, positive_int
from mmcontnet.datasets.check_config import MOST_WORKERS, check_config, summarize
from mmcontnet.toolboxes import read_config


@command
def main() -> None:
    """Checks and reports."""
    parser = command_parser(__doc__)
    parser.add_argument('config', type=config_file, help='config of mmdet (in the layout of COCO), mmseg or mmpretrain')
    workers = min(os.cpu_count(), MOST_WORKERS)
    parser.add_argument(
        '--workers', type=positive_int, default=workers, help='threads that read images (default: cores)'
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    cfg = read_config(args.config, args.cfg_options)
    with about(args.config):
        findings = check_config(cfg, args.workers)
    print(summarize(findings))
    sys.exit(any(not finding.harmless for finding in findings))


if __name__ == '__main__':
    main()
