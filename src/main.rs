//! The `zoo` binary: hands over to [`zoo::cli`].

fn main() -> std::process::ExitCode {
    zoo::cli::main()
}
