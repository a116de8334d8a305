//! Sets `ORDO_NATIVE_BUILD`, the versions on which machine code of a class depends. Code of one build must not run in another.

fn main() {
    // The folder is read when this runs, not when it is compiled: clones share a target folder, and the one that compiled it may be
    // removed.
    let lock = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo") + "/../../../Cargo.lock";
    println!("cargo:rerun-if-changed={lock}");
    println!("cargo:rerun-if-changed=build.rs");
    let text = std::fs::read_to_string(&lock).expect("Cargo.lock at the root of the workspace");
    let mut build = std::env::var("TARGET").expect("set by cargo");
    for package in text.split("[[package]]") {
        let field = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(" = ").trim().strip_prefix('"')?.strip_suffix('"')
        };
        if let (Some(name @ ("cairo-native" | "cairo-lang-sierra" | "llvm-sys")), Some(version)) =
            (field("name"), field("version"))
        {
            build.push_str(&format!(" {name}-{version}"));
        }
    }
    // The patch of the compiler is part of its version.
    let patch = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo") + "/patches/cairo-native.patch";
    println!("cargo:rerun-if-changed={patch}");
    let patch = std::fs::read(&patch).expect("patches/cairo-native.patch beside this file");
    let sum = patch
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3));
    build.push_str(&format!(" mended-{sum:016x}"));
    println!("cargo:rustc-env=ORDO_NATIVE_BUILD={build}");
}
