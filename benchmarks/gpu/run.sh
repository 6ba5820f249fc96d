#!/usr/bin/env bash
# Asks a machine with an NVIDIA GPU everything, in at most 10 minutes: builds fastret with its CUDA library, compares the
# CUDA ops bit for bit with their definitions, measures them against the peers that are installed and against the floors of
# the device, runs compute-sanitizer, and prints the goals and what was measured. Needs a python with a CUDA build of torch,
# scikit-build-core and pybind11, nvcc, cmake; no network.
#
#   benchmarks/gpu/run.sh                     # results in benchmarks/results/gpu
#   OUT=/some/folder PY=python3.12 benchmarks/gpu/run.sh
#
# Exits with 0 if every stage passed, 1 if one failed, 2 if there is nothing to run on.
set -u
cd "$(dirname "$0")/../.." || exit 2
PY=${PY:-python3}
OUT=${OUT:-benchmarks/results/gpu}
LIMIT_S=${LIMIT_S:-585}

if ! nvidia-smi -L 2>/dev/null | grep -q GPU; then
  echo "benchmarks/gpu/run.sh: needs an NVIDIA GPU, and nvidia-smi shows none here" >&2
  exit 2
fi
if ! $PY -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  echo "benchmarks/gpu/run.sh: needs a CUDA build of torch that sees the GPU; set PY to such a python" >&2
  exit 2
fi

mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
rm -f "$OUT"/{stages.jsonl,correctness.json,speed.json,table.md}
# For this device alone: all architectures would take too much of the time. wgmma needs sm_90a.
ARCH=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader --id=0 2>/dev/null | tr -dc 0-9)
[ "$ARCH" = 90 ] && ARCH=90a
SITE=$(mktemp -d)
trap 'rm -rf "$SITE"' EXIT
export PATH=$PATH:/usr/local/cuda/bin PYTHONPATH=$SITE:$PWD/tests/ops PYTHONDONTWRITEBYTECODE=1
failed=0

# stage NAME SECONDS COMMAND...: runs it within its limit and what is left of the whole, keeps its log, records the end.
stage() {
  local name=$1 limit_s=$2 start_s=$SECONDS result rc left_s=$((LIMIT_S - SECONDS))
  shift 2
  ((limit_s > left_s)) && limit_s=$left_s
  echo "== $name (at most $limit_s s)"
  if ((limit_s <= 0)); then
    result="not run: no time left" rc=1
  else
    timeout --kill-after=5 "$limit_s" "$@" > "$OUT/$name.log" 2>&1
    rc=$?
    case $rc in 0) result=passed ;; 124 | 137) result="ran out of time" ;; *) result="failed ($rc)" ;; esac
  fi
  ((rc)) && { failed=1; tail -n 15 "$OUT/$name.log" 2>/dev/null; }
  printf '{"stage": "%s", "result": "%s", "wall_s": %d}\n' "$name" "$result" $((SECONDS - start_s)) >> "$OUT/stages.jsonl"
  return $rc
}

nvidia-smi > "$OUT/nvidia-smi.log" 2>&1
stage build 180 $PY -m pip install --no-index --no-build-isolation --no-deps --target "$SITE" \
  -C build-dir=build/gpu-run -C cmake.define.FASTRET_CUDA=ON -C cmake.define.FASTRET_WERROR=ON \
  ${ARCH:+-C cmake.define.FASTRET_CUDA_ARCHS=$ARCH-real} .
if [ -d "$SITE/fastret" ]; then
  stage correctness 130 $PY -m benchmarks.gpu.correctness --out "$OUT/correctness.json" --budget-s 115
  # What compute-sanitizer needs is left to it.
  speed_s=$((LIMIT_S - SECONDS - 150))
  ((speed_s > 200)) && speed_s=200
  ((speed_s < 60)) && speed_s=60
  stage speed $((speed_s + 30)) $PY -m benchmarks.gpu.speed --out "$OUT/speed.json" --budget-s $speed_s
  for tool in memcheck racecheck synccheck; do
    if command -v compute-sanitizer > /dev/null; then
      stage "$tool" 60 compute-sanitizer --tool $tool --error-exitcode 9 $PY -m benchmarks.gpu.tiny_shapes
    else
      printf '{"stage": "%s", "result": "not run: no compute-sanitizer", "wall_s": 0}\n' $tool >> "$OUT/stages.jsonl"
    fi
  done
fi
# The table needs neither fastret nor a GPU.
$PY -m benchmarks.gpu.table "$OUT" | tee "$OUT/table.md"
exit $failed
