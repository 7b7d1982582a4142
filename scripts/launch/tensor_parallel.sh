#!/usr/bin/env bash
# One model that needs several GPUs: tensor parallel, in one process of mminf.
#
#   TP=4 scripts/launch/tensor_parallel.sh oasis --input images/ --output out/oasis
#
# ENGINE names the engine of the recipe that uses several GPUs; set `tensor_parallel_size` for each large engine.
set -euo pipefail

exec mminf run "$@" --set "engines.${ENGINE:-vlm}.tensor_parallel_size=${TP:-4}"
