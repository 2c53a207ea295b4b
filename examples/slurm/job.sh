#!/usr/bin/env bash
# One run in a clone of its own, which goes on after a stop. Started by the scripts beside it:
#
#     job.sh NAME [KNOB=VALUE ...] [-- TARGET ...]
#
# Sets the knobs and makes the targets. Without targets it makes everything, and hands its results
# back as the DVC experiment NAME. On SIGTERM it stops the stage, which keeps its checkpoint, and
# puts the job back into the queue; there it goes on in the same clone.
#
# The clone is of the last commit, as it is when the job first starts. LEGIBLE_RUNS: the folder of
# clones; work/slurm of the project by default. Outputs are shared through the project's DVC cache,
# so both must be on a file system that all nodes see.
set -euo pipefail

name=$1
shift
knobs=()
while (($# > 0)) && [[ $1 != -- ]]; do
  knobs+=("$1")
  shift
done
targets=("${@:2}") # after the --

project=${SLURM_SUBMIT_DIR:-$PWD} # slurmd runs a copy of the script from a folder of its own
clone=${LEGIBLE_RUNS:-$project/work/slurm}/$name-${SLURM_JOB_ID:?} # the same in every start
export PATH=$project/.venv/bin:$PATH

# A clone is there whole or not at all.
if [[ ! -d $clone ]]; then
  rm -rf "$clone.draft"
  git clone -q "$project" "$clone.draft"
  (
    cd "$clone.draft"
    dvc cache dir --local "$project/.dvc/cache"
    python -m commands.sweep.knobs ${knobs[@]+"${knobs[@]}"}
  )
  mv "$clone.draft" "$clone"
fi
cd "$clone"

# The run has the signal from here: a shell waits for what it runs before it heeds one.
run='' stopped=''
# shellcheck disable=SC2329 # the trap invokes it
stop() {
  stopped=yes
  [[ -z $run ]] || kill -TERM "$run" 2>/dev/null || true
}
trap stop TERM
python -m pipeline.core.reproduce ${targets[@]+"${targets[@]}"} &
run=$!
code=0
wait "$run" || code=$?
while kill -0 "$run" 2>/dev/null; do # the signal ended the waiting, and not the run
  code=0
  wait "$run" || code=$?
done

if [[ $stopped && $code != 0 ]]; then
  echo "$name: stopped, and back in the queue"
  scontrol requeue "$SLURM_JOB_ID"
elif ((code == 0)) && ((${#targets[@]} == 0)); then
  git add --all # metrics of variants that the commit does not have
  dvc exp save --force --name "$name"
  dvc exp push --force --no-cache origin "$name"
fi
exit "$code"
