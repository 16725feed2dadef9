//! Arguments in, exit code out.

fn main() -> std::process::ExitCode {
    bringup::cli::main(std::env::args_os())
}
