//! Generates the plugin protocol without any installed tool: protox reads the .proto files, prost writes the Rust.

const CONTRACT: &[&str] = &["base", "ordering", "execution", "storage", "consensus"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let contract: Vec<String> = CONTRACT.iter().map(|name| format!("ordo/v1/{name}.proto")).collect();
    // `bytes(".")`: a received message is sliced, not copied. Packed lists of felts are the bulk of the traffic.
    tonic_prost_build::configure().bytes(".").compile_fds(protox::compile(&contract, ["../proto"])?)?;
    tonic_prost_build::configure().compile_fds(protox::compile(["plugin.proto", "health.proto"], ["proto"])?)?;
    println!("cargo:rerun-if-changed=../proto/ordo");
    println!("cargo:rerun-if-changed=proto");
    Ok(())
}
