# The only door for people and for CI. `just --list` shows what there is.

set positional-arguments

acklab := "cargo run --quiet --release --"

# Run one scenario: `just run acks-1-leader-crash --seed 7`.
run *args:
    {{acklab}} run "$@"

# Everything that must hold before a commit. Writes nothing.
verify:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --profile quick -- -D warnings
    cargo test --workspace --profile quick
    RUSTDOCFLAGS="--cfg madsim -D warnings" cargo doc --workspace --no-deps
    {{acklab}} check scenarios/*.ron
    {{acklab}} verify scenarios/*.ron --seeds 0..4
    {{acklab}} test scenarios/*.ron --seeds 0..20
    tools/gallery --check

# Format and apply what clippy can mend.
fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# Write golden outputs and the gallery in reports/ anew. Read the diff before you commit it.
bless:
    UPDATE_EXPECT=1 cargo test --workspace --profile quick
    cargo build --release --quiet
    tools/gallery reports

# Every scenario, all variants, on 200 seeds; then each seed of a few twice.
sweep-all seeds="0..200":
    {{acklab}} test scenarios/*.ron --seeds {{seeds}}
    {{acklab}} verify scenarios/*.ron --seeds {{seeds}}

# The HTML report of a scenario.
report *args:
    {{acklab}} report "$@"

# Every page in a headless Chromium (apt-get install chromium; needs Node.js and npm).
verify-browser *names:
    tools/browser/run "$@"

# Speed and memory, beside a skeleton that only moves events.
bench:
    cargo bench --package acklab-benches
