# Every step of CI by its name, and what is done by hand. The steps themselves stand in .ci/run.

# What there is
default:
    @just --list

# Everything CI runs, in its order
ci:
    .ci/run

# Install what the DRBD lab needs (Debian, root)
packages:
    .ci/run packages

# Formatting, as CI sees it
fmt:
    .ci/run fmt

# Lints: the bans of .clippy.toml are among them
clippy:
    .ci/run clippy

# Documentation without a warning
doc:
    .ci/run doc

# All tests
test:
    .ci/run test

# The search over two relays with three faults in one story
search:
    .ci/run search

# A hundred cuts of the link in the midst of 4 GiB each way
cuts:
    .ci/run cuts

# A thousand kills of two drx-bsr nodes and of the line between them, under random writes
kills:
    .ci/run kills

# Two relays and what supervision does, on this machine
demo:
    .ci/run demo

# Two real DRBD kernels through two drxd
drbd *OPTIONS:
    integration/real-drbd/run {{ OPTIONS }}

# drxd beside haproxy and a bare connection
bench *OPTIONS:
    integration/bench/run {{ OPTIONS }}

# Licences, advisories and sources of the dependencies (cargo install --locked cargo-deny)
deny:
    cargo deny --workspace check

# Format everything
format:
    cargo fmt --all
