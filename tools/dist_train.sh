#!/usr/bin/env bash
# Trains on several processes of one or more nodes, one process per GPU; without GPUs, on CPUs.
#
# usage: tools/dist_train.sh CONFIG PROCESSES [OPTIONS of tools/train.py]
#
# Example:
#     tools/dist_train.sh configs/retinanet_contm_pretrained_coco.py 8
#     NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 tools/dist_train.sh ...  # on each of two nodes
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0" # The comment above.
  exit
fi
config=${1:?CONFIG is missing} processes=${2:?the number of PROCESSES is missing}
tools=$(dirname "$0")
exec python "$tools/launch.py" "$processes" "$tools/train.py" "$config" --launcher pytorch "${@:3}"
