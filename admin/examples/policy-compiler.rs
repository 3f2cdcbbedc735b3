//! Compiles one policy in a process of its own, as `postern policy-compiler` does: what the tests of this crate start.

fn main() -> Result<(), engine::LoadError> {
    engine::compile_as_child()
}
