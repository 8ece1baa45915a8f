#!/usr/bin/env bash
# Evaluates on several processes of one or more nodes, one process per GPU; without GPUs, on CPUs.
#
# usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [OPTIONS of tools/test.py]
#
# Example:
#     tools/dist_test.sh configs/retinanet_contm_pretrained_coco.py CHECKPOINT 8
#     NNODES=2 NODE_RANK=0 MASTER_ADDR=10.0.0.1 tools/dist_test.sh ...  # on each of two nodes
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0" # The comment above.
  exit
fi
config=${1:?CONFIG is missing} checkpoint=${2:?CHECKPOINT is missing} processes=${3:?the number of PROCESSES is missing}
tools=$(dirname "$0")
exec python "$tools/launch.py" "$processes" "$tools/test.py" "$config" "$checkpoint" --launcher pytorch "${@:4}"
