#!/usr/bin/env bash
# Trains on a cluster managed by Slurm, one task per GPU.
#
# usage: tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [OPTIONS of tools/train.py]
#
# GPUS (default: 8), GPUS_PER_NODE (8), CPUS_PER_TASK (5) and SRUN_ARGS are read from the environment.
#
# Example:
#     GPUS=16 SRUN_ARGS='--time=24:00:00' \
#         tools/slurm_train.sh gpu contm configs/retinanet_contm_pretrained_coco.py work_dirs/contm
set -euo pipefail
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /s/^# \{0,1\}//p' "$0" # The comment above.
  exit
fi
partition=${1:?PARTITION is missing} job=${2:?JOB_NAME is missing} config=${3:?CONFIG is missing}
work_dir=${4:?WORK_DIR is missing} gpus=${GPUS:-8} per_node=${GPUS_PER_NODE:-8}
# shellcheck disable=SC2086  # SRUN_ARGS holds several words.
srun --partition="$partition" --job-name="$job" --ntasks="$gpus" --ntasks-per-node="$per_node" \
  --gres=gpu:"$per_node" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  python -u "$(dirname "$0")/train.py" "$config" --work-dir "$work_dir" --launcher slurm "${@:5}"
