//! What `postern policy-compiler` is, for tests and benches of this crate, which do not have that binary.

fn main() -> std::process::ExitCode {
    match engine::compile_as_child() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            std::process::ExitCode::FAILURE
        }
    }
}
