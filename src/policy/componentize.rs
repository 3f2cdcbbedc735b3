//! A component from a core module, for languages whose toolchains know no components.

use feed::PolicyKind;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::template::CONTRACT_WIT;

/// Why a core module is no policy: what it lacks, or what it asks for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NotAPolicy(String);

/// Returns whether the bytes are a core module, not a component.
pub(super) fn is_core_module(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm\x01\0\0\0")
}

/// Makes a component for the world of a kind of policy. Strings of the module are UTF-8. What it imports of WASI preview 1
/// is put into the component with it, and shows it nothing.
///
/// # Errors
/// When the module lacks an export of the world, has one of another type, or imports anything else.
pub(super) fn component(core: &[u8], kind: PolicyKind) -> Result<Vec<u8>, NotAPolicy> {
    let world = match kind {
        PolicyKind::Role => "role",
        PolicyKind::Guard => "guard",
    };
    let mut contract = Resolve::default();
    let package = contract
        .push_str("policy.wit", CONTRACT_WIT)
        .expect("the contract is well formed");
    let world = contract
        .select_world(&[package], Some(world))
        .expect("the contract has both worlds");
    let mut module = core.to_vec();
    embed_component_metadata(&mut module, &contract, world, StringEncoding::UTF8).map_err(NotAPolicy::of)?;
    let wasi = wat::parse_str(WASI_PREVIEW1).expect("it is well formed");
    let mut encoder = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .map_err(NotAPolicy::of)?
        .adapter("wasi_snapshot_preview1", &wasi)
        .map_err(NotAPolicy::of)?;
    encoder.encode().map_err(NotAPolicy::of)
}

/// What stands for WASI preview 1.
const WASI_PREVIEW1: &str = include_str!("wasi_preview1.wat");

impl NotAPolicy {
    fn of(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(deeper) = source {
            message = format!("{message}: {deeper}");
            source = deeper.source();
        }
        Self(message)
    }
}
