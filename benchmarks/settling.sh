#!/usr/bin/env bash
# Have both arms settled when a fit ends? The same fits with the whole schedule stretched over more and more
# steps, p = 0.5, on held-out images and on three seeds that no benchmark uses. Goes on where it stopped.
#
#     benchmarks/settling.sh                         all of it: half a day on two cores
#     PROFILE=quick STEPS="600 1200" benchmarks/settling.sh   a part
#     SEEDS=101:101:1 benchmarks/settling.sh         one seed
set -euo pipefail
bnbench=${BNBENCH:-bnbench}
profile=${PROFILE:-compact}
for steps in ${STEPS:-1500 3000 6000 12000 24000}; do
    $bnbench run --profile "$profile" --probs 0.5 --seeds "${SEEDS:-101,102,103}" --arms plain,bn --split held-out \
        --steps "$steps" --out "evidence/settling/$profile-steps$steps" "$@"
done
