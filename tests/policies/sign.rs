//! `postern policy keygen` and `sign`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use super::workshop::Workshop;

#[test]
fn a_key_is_made_for_its_owner_only_and_never_over_another() {
    let workshop = Workshop::new();
    let said = workshop.done(&["keygen", "ann"]);
    let key = said
        .trim()
        .strip_prefix("ann=")
        .expect("the line of policy_trusted_keys");
    assert_eq!(key.len(), 43, "{said}");
    let file = workshop.path("ann.pem");
    let mode = fs::metadata(&file).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let pem = fs::read_to_string(&file).expect("it is there");
    let ended = workshop.run(&["keygen", "ann"]);
    assert_eq!(ended.code, Some(73), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&file).expect("it is there"), pem);
}

#[test]
fn a_component_is_signed_for_one_organisation() {
    let workshop = Workshop::new();
    workshop.made_of_c("role", "reader", &[]);
    workshop.done(&["keygen", "ann"]);
    let signature = |org: &str| {
        workshop.done(&["sign", "reader", "--key", "ann.pem", "--org", org]);
        let text = fs::read_to_string(workshop.path("reader/reader.wasm.sig")).expect("the signature");
        serde_json::from_str::<Value>(&text).expect("JSON")
    };
    let acme = signature("acme");
    assert_eq!(acme["key"], "ann");
    assert_eq!(acme["signature"].as_str().map(str::len), Some(86));
    // Ed25519 gives the same signature for the same statement.
    assert_eq!(signature("acme"), acme);
    assert_ne!(signature("other"), acme);
}
