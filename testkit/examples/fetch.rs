//! Fetches the real models that tests and examples use and prints where they lie.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::process::ExitCode;

use llamakit_testkit::fetch::{self, GEMMA3, SMOLLM2};

fn main() -> ExitCode {
    for model in [SMOLLM2, GEMMA3] {
        match fetch::model(model) {
            Ok(path) => println!("{}", path.display()),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
