//! The program `ollama`.

fn main() -> std::process::ExitCode {
    ollama::cli::main()
}
