//! The config of a WebAssembly artifact: what the component is, without fetching it.

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat};
use serde_json::json;
use wasmparser::{BinaryReaderError, Encoding, Parser, Payload};

use super::{COMPONENT_BYTES_MAX, Error, sha256};

/// Media type of the config.
pub(super) const CONFIG_MEDIA_TYPE: &str = "application/vnd.wasm.config.v0+json";
/// Media type of the one layer.
pub(super) const LAYER_MEDIA_TYPE: &str = "application/wasm";

/// Returns the config of a component.
///
/// # Errors
/// [`Error::TooLong`] and [`Error::NotAComponent`].
pub(super) fn config(component: &[u8], now_ms: i64) -> Result<Bytes, Error> {
    if component.len() > COMPONENT_BYTES_MAX {
        return Err(Error::TooLong);
    }
    let world = world(component).map_err(|error| Error::NotAComponent(error.to_string()))?;
    let World { imports, exports } = world.ok_or_else(|| Error::NotAComponent("it is a core module".to_owned()))?;
    let created = DateTime::from_timestamp_millis(now_ms).unwrap_or_default();
    let config = json!({
        "created": created.to_rfc3339_opts(SecondsFormat::Secs, true),
        "architecture": "wasm",
        // The layout's word for any component, whether it uses WASI or not.
        "os": "wasip2",
        "layerDigests": [sha256(component)],
        "component": {"imports": imports, "exports": exports},
    });
    Ok(Bytes::from(config.to_string()))
}

/// Names of what a component imports and exports.
struct World {
    imports: Vec<String>,
    exports: Vec<String>,
}

/// `None`: a core module.
#[expect(clippy::wildcard_enum_match_arm, reason = "the rest of a component is not its world")]
fn world(component: &[u8]) -> Result<Option<World>, BinaryReaderError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // Components and modules within this one have worlds of their own.
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Ok(None);
                }
                depth += 1;
            }
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(Some(World { imports, exports }))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_config_says_what_a_builtin_policy_imports_and_exports() {
        let component = include_bytes!("../../../policies/builtin/administrator.wasm");
        let config: Value = serde_json::from_slice(&config(component, 0).expect("a config")).expect("JSON");
        assert_eq!(
            (&config["architecture"], &config["os"]),
            (&json!("wasm"), &json!("wasip2"))
        );
        assert_eq!(config["created"], "1970-01-01T00:00:00Z");
        assert_eq!(config["layerDigests"], json!([sha256(component)]));
        let exports = &config["component"]["exports"];
        assert!(
            exports.as_array().is_some_and(|exports| !exports.is_empty()),
            "{config}"
        );
    }

    #[test]
    fn only_a_component_has_a_config() {
        for octets in [&b""[..], b"#!/bin/sh", b"\0asm\x01\0\0\0"] {
            assert!(matches!(config(octets, 0), Err(Error::NotAComponent(_))), "{octets:?}");
        }
    }
}
