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

# Format and apply what clippy can mend.
fix:
    cargo fmt --all
    cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged

# Write golden outputs anew. Read the diff before you commit it.
bless:
    UPDATE_EXPECT=1 cargo test --workspace --profile quick

# Every scenario, all variants, on 200 seeds; then each seed of a few twice.
sweep-all seeds="0..200":
    {{acklab}} test scenarios/*.ron --seeds {{seeds}}
    {{acklab}} verify scenarios/*.ron --seeds {{seeds}}

# The HTML report of a scenario (part 3).
report *args:
    {{acklab}} report "$@"

# Speed and memory, beside a skeleton that only moves events.
bench:
    cargo bench --package acklab-benches
