//! What guests have in common. The guests are the files beside this one, each built as an example, which makes each a
//! component.

#![no_std]

extern crate alloc;

use alloc::format;
use alloc::string::String;

use postern_policy::Request;

/// Returns what a policy was told beyond subject and operation, as one line.
pub fn told(request: &Request) -> String {
    let inputs = &request.inputs;
    let mut headers = String::new();
    for header in &inputs.headers {
        headers.push_str(&format!(" {}: {}", header.name, header.value));
    }
    format!(
        "time={:?} address={:?} headers=[{headers} ] query={:?} body={:?} settings={:?}",
        inputs.time_ms, inputs.source_address, inputs.query, inputs.json_body, request.settings
    )
}
