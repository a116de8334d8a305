//! `ordo-execution-blockifier`: the execution plugin, and commands for set-up and measurement.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        ordo_execution_blockifier::arithmetic::install();
        return ordo_sdk::serve(ordo_execution_blockifier::service::routes);
    }
    match ordo_execution_blockifier::command::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("ordo-execution-blockifier: {cause}");
            ExitCode::FAILURE
        }
    }
}
