#!/usr/bin/env bash
# Feeds every parser of fuzz/ with anything, for so many seconds each: dev/fuzz.sh [SECONDS] [TARGET…]
# libFuzzer, by the stable compiler: what it inserts for coverage are LLVM's own passes. Without a sanitizer: our
# crates have no unsafe code, so what can go wrong is a panic, a broken promise, memory or time.
here=$(dirname "$0")
source "$here/lib.sh"

seconds=${1:-5}; shift || true
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(event_lines script_lines output termination_message bodies)

have cargo || fail 'Rust is missing: https://rustup.rs'
have c++ || fail 'A compiler for C++ is missing (libFuzzer is written in it): apt-get install g++'
host=$(rustc --print host-tuple)
# The versions that everything else is built with.
cp "$root/Cargo.lock" "$root/fuzz/Cargo.lock"
# With --target, build scripts and macros are compiled without these flags.
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1" \
  cargo build --quiet --release --manifest-path "$root/fuzz/Cargo.toml" --target "$host" --target-dir "$root/target/fuzz"
for target in "${targets[@]}"; do
  found=$root/target/fuzz/found/$target
  mkdir -p "$found"
  # What was found before is begun with, too; a crash leaves its input beside it.
  if ! "$root/target/fuzz/$host/release/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=1024 \
      -artifact_prefix="$root/target/fuzz/crash-$target-" -print_final_stats=0 "$found" "$root/fuzz/seeds/$target" \
      >"$root/target/fuzz/$target.log" 2>&1; then
    tail -40 "$root/target/fuzz/$target.log"
    fail "fuzz: $target; put the input into fuzz/seeds/$target once it is mended"
  fi
  say "      $target: $(grep -c . <(ls "$found")) inputs, $(grep -oE 'Done [0-9]+ runs' "$root/target/fuzz/$target.log")"
done
