//! Compiling Sierra to machine code, in the child process.

use std::path::Path;

use cairo_lang_starknet_classes::contract_class::ContractClass;
use cairo_native::executor::AotContractExecutor;
use cairo_native::OptLevel;

use super::cache;
use crate::casm;
use crate::threads::on_big_stack;

/// The sub-command that a child runs, with the folder as its argument.
pub const COMMAND: &str = "native-stdin";

/// Makes the machine code of the class on stdin.
pub fn stdin_to_folder(folder: &Path) -> Result<(), String> {
    use std::io::Read;
    let mut sierra = Vec::new();
    let most = casm::MAX_JSON as u64 + 1;
    std::io::stdin().lock().take(most).read_to_end(&mut sierra).map_err(|error| format!("stdin: {error}"))?;
    on_big_stack(|| make(&sierra, folder))?
}

fn make(sierra: &[u8], folder: &Path) -> Result<(), String> {
    let class: ContractClass = casm::contract_class(sierra).map_err(|rejection| rejection.reason)?;
    let extracted = class.extract_sierra_program(false).map_err(|error| format!("class: {error}"))?;
    AotContractExecutor::new_into(
        &extracted.program,
        &class.entry_points_by_type,
        extracted.sierra_version,
        folder.join(cache::CODE),
        OptLevel::Default,
        None,
    )
    .map_err(|error| format!("cairo native: {error}"))?
    .ok_or("cairo native: the folder is locked")?;
    cache::write_sum(folder).map_err(|error| format!("{}: {error}", folder.display()))
}
