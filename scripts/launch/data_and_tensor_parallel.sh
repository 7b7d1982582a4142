#!/usr/bin/env bash
# One node, several copies of a model that needs several GPUs: rank r uses GPUs r*TP to r*TP+TP-1.
#
#   GPUS=8 TP=2 scripts/launch/data_and_tensor_parallel.sh oasis --input images/ --output out/oasis
set -euo pipefail

TP=${TP:-2}
export NPROC_PER_NODE=$((${GPUS:-8} / TP))
exec mminf run "$@" --set "engines.${ENGINE:-vlm}.tensor_parallel_size=$TP"
