# Commands for contributors; `just` alone lists them. CONTRIBUTING.md explains when to use which.

_list:
    @just --list --unsorted

# Check formatting, and lint everything
check:
    cargo fmt --check
    cargo clippy --all-targets --all-features --locked -- -D warnings

# Run the tests, or some of them: `just test --test core headers`
test *arguments:
    cargo test --all-features --locked {{ arguments }}

# Run all tests, with those that are ignored because they need redis-server or take long
test-all:
    cargo test --all-features --locked
    cargo test --all-features --locked -- --ignored

# Run all that must hold before a change is merged (installs what it needs, as root on Debian)
gate:
    .ci/run

# Build the docs, and fail on warnings
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --all-features --no-deps --locked

# Compare the public API with its snapshot; `just api --bless` accepts the difference
api mode="--check":
    .ci/public-api {{ mode }}

# Fuzz a target: `just fuzz headers 60` (requires cargo-fuzz and a nightly toolchain)
fuzz target seconds="60":
    fuzz/run {{ target }} -max_total_time={{ seconds }}

# Run the core's tests under Miri (half an hour; requires a nightly toolchain with miri and rust-src)
miri:
    checks/miri

# Put small bugs into a group of files, and run the tests that should fail: `just mutants verify`
mutants group:
    checks/mutants {{ group }}

# Run a benchmark of the crate alone: verify, events, claims or instructions
bench name="verify":
    cargo bench --bench {{ name }}

# Compare with other libraries, and write BENCHMARKS.md: all groups, or `just compare verify`
compare *groups:
    benches/report {{ groups }}
