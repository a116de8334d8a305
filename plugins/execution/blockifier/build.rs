//! Names the versions that machine code of a class depends on: it is made by one build and must not be run by another.

fn main() {
    // Asked for when it runs, not when it is compiled: clones share a target folder, and the one that compiled it may be gone.
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
    println!("cargo:rustc-env=ORDO_NATIVE_BUILD={build}");
}
