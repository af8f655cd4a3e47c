#!/usr/bin/env bash
# Checks and measures dgm-run on a GPU in a few minutes:
#
#   benchmarks/gpu.sh [a] [b] [c] --out FOLDER [--device cuda|cpu] [--quick] [--wheels FOLDER] [--mnist FILE.tar.xz]
#
#   a  stops and resumes a VAE, an RBM and a GAN, and compares them with runs that were not stopped
#   b  speed: VAE, VampPrior, IWAE, likelihood, convolutions, PixelCNN, CD-1, CD-25 and AIS, eager and compiled
#   c  the VAE of Tomczak & Welling 2018 on MNIST with both priors at once, until the time is up; they leave checkpoints
#
# Without letters all parts run. Each has its own time limit. Wheels hold packages that Python lacks there.
# The status is 1 if a part fails; one that its limit stops does not.
set -uo pipefail
cd "$(dirname "$0")/.."

parts=()
out=
device=cuda
quick=
while [ $# -gt 0 ]; do
    case $1 in
        a | b | c) parts+=("$1") ;;
        --out) out=$2 && shift ;;
        --device) device=$2 && shift ;;
        --quick) quick=--quick ;;
        --wheels) python3 -m pip install --quiet --no-deps --no-index "$2"/*.whl && shift ;;
        --mnist)
            DGM_DATA_DIR=$(mktemp -d)
            export DGM_DATA_DIR
            tar -xf "$2" -C "$DGM_DATA_DIR" && shift
            ;;
        *) echo "$1: choose from a b c --out --device --quick --wheels --mnist" >&2 && exit 2 ;;
    esac
    shift
done
[ -n "$out" ] || { echo "--out FOLDER is missing" >&2 && exit 2; }
[ ${#parts[@]} -gt 0 ] || parts=(a b c)
mkdir -p "$out"
export PYTHONPATH=$PWD

failed=0
part() { # name, seconds, command...: runs it, and keeps its output
    echo "== $1"
    timeout --signal=TERM --kill-after=20 "$2" "${@:3}" 2>&1 | tee "$out/$1.md"
    local status=${PIPESTATUS[0]}
    case $status in
        0) ;;
        124 | 137) echo "$1: stopped after $2 seconds" | tee -a "$out/$1.md" ;;
        *) echo "$1: ended with status $status" | tee -a "$out/$1.md" && failed=1 ;;
    esac
}

speed() {
    local questions=(vae vampprior iwae likelihood conv pixelcnn cd-1 cd-25 ais) only=()
    [ -z "$quick" ] || questions=(vae cd-1)
    for question in "${questions[@]}"; do only+=(--only "$question"); done
    part b 220 python3 -m benchmarks --device "$device" --quick $([ -n "$quick" ] || echo --compile) "${only[@]}"
}

train() { # preset, overrides...: resumes the run if it has a checkpoint
    python3 -m dgm_run "+experiment=vampprior_2018/$1" "trainer.device=$device" "hydra.run.dir=$out/$1" \
        trainer.resume=auto trainer.image_every_epochs=null "${@:2}"
}
export -f train
export out device

both_priors() { # the jobs share the GPU
    local small=()
    [ -z "$quick" ] || small=(dataset=digits model.latent_dim=2 trainer.max_epochs=2)
    local components=("${small[@]}")
    [ -z "$quick" ] || components+=(prior.num_components=10)
    part c 150 bash -c '
        train dynamic_vae_vamp '"${components[*]}"' & vamp=$!
        train dynamic_vae_standard '"${small[*]}"' & standard=$!
        wait "$vamp" && wait "$standard"'
}

for each in "${parts[@]}"; do
    case $each in
        a) part a 100 python3 -m benchmarks.resume --device "$device" ;;
        b) speed ;;
        c) both_priors ;;
    esac
done
exit $failed
