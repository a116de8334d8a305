# Shared by the scripts: where things are cached, how progress is told, and the steps of the set-up.
# shellcheck shell=bash

cache="${ORDO_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ordo}"
clone="$(pwd)"
stamps="$cache/stamps/$(printf '%s' "$clone" | cksum | tr ' ' '-')" # bin/ belongs to a clone, so do its stamps
export CARGO_TARGET_DIR="$cache/target"
cargo_home="${CARGO_HOME:-$HOME/.cargo}"
started=$(date +%s)

# Smallest versions that build: the highest `rust-version` in Cargo.lock's graph, and go.mod's `go` line.
want_go=1.26
want_rust=1.94
want_node=20
want_python=3.10

say() { printf '[%4ds] %s\n' "$(($(date +%s) - started))" "$*"; }
fail() {
  printf 'setup: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '       %s\n' "$line" >&2; done
  exit 1
}
done_in() { say "ready"; }

have() { command -v "$1" >/dev/null 2>&1; }
# at_least HAVE WANT: dotted numbers.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }

# fingerprint PATH...: one hash over the names and contents of all files below the paths.
fingerprint() {
  find "$@" -type f -not -path '*/node_modules/*' -not -path '*/target/*' -print0 2>/dev/null |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}
fresh() { [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$2" ]; }
stamp() { printf '%s' "$2" >"$stamps/$1"; }

# place FROM TO: atomic, so that a running process keeps the file it was started from.
place() {
  cp "$1" "$2.new"
  chmod 755 "$2.new"
  mv -f "$2.new" "$2"
}

# ---- tools ----

missing_debs=()
problems=()
need_deb() { # need_deb COMMAND PACKAGE WHAT-FOR
  have "$1" && return
  missing_debs+=("$2")
  problems+=("$1: not found ($3); Debian package $2")
}

check_tools() {
  local tests="$1"
  need_deb git git "version information"
  need_deb cc gcc "the linker of the Rust and C parts"
  need_deb flock util-linux "locking of the cache"
  have cc && [ ! -e /usr/include/stdio.h ] && have dpkg && { missing_debs+=(libc6-dev); problems+=("stdio.h: not found; Debian package libc6-dev"); }
  if [ "$tests" = true ]; then
    need_deb node nodejs "starknet.js and starknet-devnet in the end-to-end tests"
    need_deb npm npm "starknet.js and starknet-devnet in the end-to-end tests"
    need_deb python3 python3 "starknet.py in the end-to-end tests"
    if have python3 && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
      missing_debs+=(python3-venv)
      problems+=("python3 venv: not found (starknet.py in the end-to-end tests); Debian package python3-venv")
    fi
  fi
  if [ ${#missing_debs[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && have apt-get; then
      say "installing Debian packages: ${missing_debs[*]}"
      DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing_debs[@]}" >/dev/null ||
        fail "apt-get could not install: ${missing_debs[*]}"
    else
      fail "tools are missing:" "${problems[@]}" "install them: sudo apt-get install ${missing_debs[*]}"
    fi
  fi

  if [ "$tests" = true ]; then check_browser; fi

  local wrong=() v
  if ! have go; then
    wrong+=("go: not found; Go $want_go or later is needed: https://go.dev/doc/install")
  else
    v="$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null)"; v="${v#go}"
    # Go 1.21 and later fetch the toolchain that go.mod names by themselves.
    at_least "${v%%[-a-z]*}" 1.21 || wrong+=("go: found $v; Go $want_go or later is needed: https://go.dev/doc/install")
  fi
  if ! have cargo; then
    wrong+=("cargo: not found; Rust $want_rust or later is needed: https://rustup.rs")
  else
    v="$(cargo --version | cut -d' ' -f2)"
    at_least "${v%%-*}" "$want_rust" || wrong+=("cargo: found $v; Rust $want_rust or later is needed: rustup update stable")
  fi
  if [ "$tests" = true ]; then
    v="$(node --version)"; v="${v#v}"
    at_least "$v" "$want_node" || wrong+=("node: found $v; Node $want_node or later is needed (starknet.js)")
    v="$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    at_least "$v" "$want_python" || wrong+=("python3: found $v; Python $want_python or later is needed (starknet.py)")
  fi
  [ ${#wrong[@]} -eq 0 ] || fail "tools are missing or too old:" "${wrong[@]}"
}

# A browser is large, and not every machine can have one: without it the tests that need it say so and are skipped, but not on a
# build server.
check_browser() {
  local name
  for name in ${ORDO_E2E_CHROMIUM:+"$ORDO_E2E_CHROMIUM"} chromium chromium-browser google-chrome; do
    if have "$name"; then return; fi
  done
  if [ "$(id -u)" = 0 ] && have apt-get; then
    say "installing the Debian package chromium (the browser of the end-to-end tests)"
    { DEBIAN_FRONTEND=noninteractive apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || true
  fi
  have chromium && return
  [ -z "${CI:-}" ] || fail "chromium: not found (the browser of the end-to-end tests)" "install it: sudo apt-get install chromium, or name one in ORDO_E2E_CHROMIUM"
  say "no chromium: the tests in a browser will be skipped; install it (sudo apt-get install chromium), or name one in ORDO_E2E_CHROMIUM"
}

# ---- Cairo Native ----

# Cairo Native needs LLVM and MLIR 19 while the plugin is built, in Debian's layout or below ORDO_LLVM. Without them, or with
# ORDO_NATIVE=off, the plugin runs everything on the Cairo VM.
llvm="${ORDO_LLVM:-/usr/lib/llvm-19}"
native_debs=(llvm-19-dev libmlir-19-dev mlir-19-tools libpolly-19-dev libclang1-19 libclang-common-19-dev libzstd-dev zlib1g-dev g++)
native=off
cargo_options=()

has_llvm() { [ -x "$llvm/bin/llvm-config" ] && [ -x "$llvm/bin/mlir-tblgen" ] && { [ -e "$llvm/lib/libMLIR.so" ] || [ -e "$llvm/lib/libMLIRIR.a" ]; } && [ -d "$llvm/include/mlir-c" ] &&
  [ -n "$(find "$llvm/lib" -maxdepth 1 -name 'libclang-19.so*' -print -quit)" ] && printf 'int main(){}' | cc -x c - -lzstd -lz -o /dev/null 2>/dev/null; }
can_install_llvm() { [ "$(id -u)" = 0 ] && have apt-get && apt-cache policy llvm-19-dev 2>/dev/null | grep -q 'Candidate: [0-9]'; }

check_native() {
  patch_crate blockifier
  if [ "${ORDO_NATIVE:-on}" = off ]; then return; fi
  if ! has_llvm && [ "$(id -u)" = 0 ] && have apt-get; then
    apt-cache policy llvm-19-dev 2>/dev/null | grep -q 'Candidate: [0-9]' || DEBIAN_FRONTEND=noninteractive apt-get update -qq >/dev/null 2>&1 || true
    if can_install_llvm; then
      say "installing Debian packages for Cairo Native: ${native_debs[*]}"
      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${native_debs[@]}" >/dev/null || say "apt-get could not install them"
    fi
  fi
  if has_llvm; then
    export LLVM_SYS_191_PREFIX="$llvm" MLIR_SYS_190_PREFIX="$llvm" TABLEGEN_190_PREFIX="$llvm"
    native=on
    cargo_options+=(--features ordo-execution-blockifier/native)
    patch_crate cairo-native
  else
    say "no LLVM and MLIR 19 below $llvm: the execution plugin is built without Cairo Native: classes run on the slower Cairo VM."
    say "  Debian and Ubuntu: sudo apt-get install ${native_debs[*]}; elsewhere set ORDO_LLVM; ORDO_NATIVE=off silences this"
  fi
}

# patch_crate CRATE: builds with a copy of a published crate that patches/CRATE.patch was applied to (docs/adr/0004 says what for). A path
# override leaves Cargo.toml and Cargo.lock as they are.
patch_crate() {
  local patch="plugins/execution/blockifier/patches/$1.patch" version dir from
  version="$(awk -v name="name = \"$1\"" '$0 == name { getline; gsub(/version = |"/, ""); print; exit }' Cargo.lock)"
  dir="$cache/$1-$version-$(fingerprint "$patch" | cut -c1-12)"
  if [ ! -f "$dir/.done" ]; then
    mkdir -p "$cache"
    from="$(crate_dir "$1" "$version")"
    rm -rf "$dir.new"
    cp -r "$from" "$dir.new"
    rm -f "$dir.new/.cargo-ok"
    # The ceiling: a repository around the cache would make git look for the files there.
    if ! (cd "$dir.new" && GIT_CEILING_DIRECTORIES="$cache" git apply "$clone/$patch"); then
      say "$1 $version is not the one that patches/ is for: it is built as published"
      rm -rf "$dir.new"
      return
    fi
    touch "$dir.new/.done"
    mv "$dir.new" "$dir"
  fi
  cargo_options+=(--config "paths=[\"$dir\"]")
}

# ---- steps ----

# Nearly all crates depend on lambdaworks-crypto/, and in a new clone its files are new: cargo would build all of them again.
# When the shared target folder was built from the same content, the files are given an old time.
crypto=plugins/execution/blockifier/lambdaworks-crypto
age_crypto() {
  if [ "$(cat "$cache/crypto" 2>/dev/null)" = "$(fingerprint "$crypto")" ]; then
    find "$crypto" -exec touch -d '2020-01-01' {} +
  fi
}

# Cargo takes a file for unchanged when it is older than what was built, and clones share the target folder: what another clone
# has built since, from other content, would pass for this one's. So the files are given the present time.
sources_of_rust() { fingerprint sdk/rust sdk/proto plugins/execution/blockifier; }
renew_sources() {
  [ "$(cat "$cache/sources" 2>/dev/null)" = "$(sources_of_rust)" ] && return
  find sdk/rust sdk/proto plugins/execution/blockifier -path "$crypto" -prune -o \( -name '*.rs' -o -name '*.proto' -o -name '*.json' -o -name '*.patch' \) -exec touch {} +
}

build_rust() {
  local key; key="$(fingerprint Cargo.toml Cargo.lock sdk/rust sdk/proto plugins/execution/blockifier)-$(rustc --version | tr ' ' '-')-${cargo_options[*]-}"
  if fresh rust "$key" && [ -x bin/plugins/ordo-execution-blockifier ]; then return; fi
  say "building the execution plugin (Rust; the first time takes about ten minutes on 2 cores)"
  age_crypto
  renew_sources
  cargo build --release --locked --workspace "${cargo_options[@]}"
  fingerprint "$crypto" >"$cache/crypto"
  sources_of_rust >"$cache/sources"
  place "$CARGO_TARGET_DIR/release/ordo-execution-blockifier" bin/plugins/ordo-execution-blockifier
  stamp rust "$key"
}

# The consensus plugin malachite is a Cargo workspace of its own, in the shared target folder: what it has in common with the execution plugin
# is built once. It needs nothing beside Rust. Its sources are in the shared folder by a name that clones share, as above.
malachite=plugins/consensus/malachite
renew_malachite() {
  [ "$(cat "$cache/malachite" 2>/dev/null)" = "$(fingerprint "$malachite")" ] && return
  find "$malachite" \( -name '*.rs' -o -name '*.toml' \) -exec touch {} +
}
build_malachite() {
  local key; key="$(fingerprint Cargo.toml sdk/rust sdk/proto "$malachite")-$(rustc --version | tr ' ' '-')"
  if fresh malachite "$key" && [ -x bin/plugins/ordo-consensus-malachite ]; then return; fi
  say "building the consensus plugin malachite (Rust; the first time takes about two minutes on 2 cores)"
  renew_malachite
  (cd "$malachite" && cargo build --release --locked) || fail "the consensus plugin malachite does not build (see above)"
  fingerprint "$malachite" >"$cache/malachite"
  place "$CARGO_TARGET_DIR/release/ordo-consensus-malachite" bin/plugins/ordo-consensus-malachite
  stamp malachite "$key"
}

build_go() {
  local key; key="$(fingerprint go.mod go.sum cmd node core devnet starknet client sdk plugins/ordering plugins/storage plugins/consensus contracts)"
  if fresh go "$key" && [ -x bin/ordo ] && [ -x bin/ordo-bench ]; then return; fi
  say "building the core and the Go plugins"
  local version; version="$(git describe --always --dirty 2>/dev/null || echo unknown)"
  go build -trimpath -ldflags "-X main.commit=$version" -o bin/ ./cmd/ordo ./cmd/ordo-bench
  local main module
  for main in plugins/*/*/cmd/*/; do
    module="${main%cmd/*}" # a plugin may be a module of its own
    [ -f "$module/go.mod" ] || module=./
    [ -d "$main" ] && (cd "$module" && go build -trimpath -o "$clone/bin/plugins/" "$clone/$main")
  done
  stamp go "$key"
}

# Contracts come out of two published crates (2.19.5 of the second: later ones hold Sierra newer than blockifier takes); contracts/manifest.go says which file is which and its class hash.
build_contracts() {
  local key; key="$(fingerprint contracts)-$(cat "$stamps/rust" 2>/dev/null || true)"
  if fresh contracts "$key" && [ -n "$(ls bin/contracts/*.class.pb 2>/dev/null)" ]; then return; fi
  say "compiling the contracts of genesis and of the tests"
  local devnet cairo
  devnet="$(crate_dir starknet-devnet-core 0.10.1)"
  cairo="$(crate_dir cairo-lang-starknet 2.19.5)"
  go run ./contracts/cmd/compile-contracts \
    -compiler bin/plugins/ordo-execution-blockifier -out bin/contracts \
    -crate "starknet-devnet-core=$devnet" -crate "cairo-lang-starknet=$cairo"
  stamp contracts "$key"
  if [ "$native" = on ]; then
    say "compiling the contracts of genesis to machine code"
    bin/plugins/ordo-execution-blockifier native bin/contracts/*.class.pb >"$cache/native.log" 2>&1 || say "they will be compiled when they are first used"
  fi
}

# crate_dir NAME VERSION: the folder of an unpacked published crate; `cargo info` downloads that one crate only.
crate_dir() {
  local dir
  dir="$(unpacked "$1-$2")"
  if [ -z "$dir" ]; then
    # outside the workspace, where cargo would look for the crate in the lock file only
    (cd "$cache" && cargo info --quiet "$1@$2" >/dev/null) || fail "crate $1 $2 cannot be downloaded" "check the network, then run again"
    dir="$(unpacked "$1-$2")"
  fi
  [ -n "$dir" ] || fail "crate $1 $2 was downloaded but is not below $cargo_home/registry/src"
  printf '%s' "$dir"
}
unpacked() {
  local dir
  for dir in "$cargo_home"/registry/src/*/"$1"; do
    if [ -d "$dir" ]; then printf '%s' "$dir"; return; fi
  done
}

# Client libraries live in the cache, keyed by their lock file; the tests read ORDO_E2E_JS, ORDO_E2E_PYTHON and ORDO_E2E_GO.
js_dir() { printf '%s/js-%s' "$cache" "$(fingerprint test/e2e/js/package.json test/e2e/js/package-lock.json | cut -c1-16)"; }
python_dir() { printf '%s/python-%s' "$cache" "$(fingerprint test/e2e/python/requirements.txt | cut -c1-16)"; }

# The client in Go is a module of its own, so that what it needs stays out of ours; its go.sum pins it. The tests run the program.
go_client() { printf '%s/go-%s/client' "$cache" "$(fingerprint test/e2e/go | cut -c1-16)"; }

install_js() {
  local dir; dir="$(js_dir)"
  [ -f "$dir/.done" ] && return
  say "installing starknet.js and starknet-devnet"
  rm -rf "$dir"; mkdir -p "$dir"
  cp test/e2e/js/package.json test/e2e/js/package-lock.json "$dir/"
  (cd "$dir" && npm ci --no-audit --no-fund --loglevel=error) || fail "npm could not install test/e2e/js/package-lock.json"
  touch "$dir/.done"
}

# The project's own contracts, in Cairo, which only tests use. The compiler is slow, so what it makes is kept in the cache.
cairo_dir() { printf '%s/cairo-%s' "$cache" "$(fingerprint contracts/cairo | cut -c1-16)"; }
compile_cairo() {
  local dir; dir="$(cairo_dir)"
  [ -f "$dir/.done" ] && return
  mkdir -p "$dir"
  say "compiling contracts/cairo (half a minute each)"
  # shellcheck disable=SC2016
  printf '%s\0' contracts/cairo/*.cairo | ORDO_E2E_JS="$(js_dir)" xargs -0 -P "$(nproc)" -I{} \
    sh -c 'node contracts/cairo/compile.mjs "$1" "$2/$(basename "$1" .cairo).contract_class.json"' sh {} "$dir" || fail "contracts/cairo does not compile"
  touch "$dir/.done"
}

install_go_client() {
  local file; file="$(go_client)"
  [ -x "$file" ] && return
  say "building the tests with starknet.go"
  mkdir -p "$(dirname "$file")"
  (cd test/e2e/go && go build -trimpath -o "$file.new" .) || fail "test/e2e/go does not build" "check the network, then run again"
  mv "$file.new" "$file"
}

install_python() {
  local dir; dir="$(python_dir)"
  [ -f "$dir/.done" ] && return
  say "installing starknet.py"
  rm -rf "$dir"
  python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet --requirement test/e2e/python/requirements.txt || fail "pip could not install test/e2e/python/requirements.txt"
  touch "$dir/.done"
}
