#!/usr/bin/env bash
#SBATCH --job-name=mminf
#SBATCH --array=0-7
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --requeue
# A Slurm array: every task is a shard. A task that is preempted and requeued resumes.
#
#   job=$(sbatch --parsable scripts/launch/slurm_array.sh oasis --input /shared/images --output /shared/oasis)
#   sbatch --dependency=afterok:$job --wrap "mminf merge oasis --input /shared/images --output /shared/oasis"
#
# A recipe with dataset steps (deduplicate, limit) needs array, merge, array, merge; `mminf merge` reports this.
set -euo pipefail

exec mminf run "$@" --shard "${SLURM_ARRAY_TASK_ID:-0}/${SLURM_ARRAY_TASK_COUNT:-1}"
