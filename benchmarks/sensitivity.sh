#!/usr/bin/env bash
# Does the order of the arms depend on the images per pixel, the steps or the threshold?
# 72 fits at 10×10, p = 0.5, on held-out images and on seeds that no benchmark uses: about three hours on
# two cores. Each setting is a protocol with a folder of its own; the same command goes on where it stopped.
#
#     benchmarks/sensitivity.sh                 all of it
#     IMAGES="4 16" benchmarks/sensitivity.sh   a part
set -euo pipefail
bnbench=${BNBENCH:-bnbench}
for steps in ${STEPS:-1200 4800}; do
    for images in ${IMAGES:-16 4 64}; do
        for threshold in ${THRESHOLDS:-2.5 5}; do
            $bnbench run --profile quick --probs 0.5 --seeds 101:103:1 --arms plain,bn --split held-out \
                --images "$images" --steps "$steps" --threshold "$threshold" \
                --out "evidence/sensitivity/images$images-steps$steps-threshold$threshold" "$@"
        done
    done
done
