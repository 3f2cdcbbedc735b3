//! A guard that asks for all that there is, and tells what it was told where the request wants to be refused.

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use postern_policy::{Guard, GuardVerdict, Input, Request, Scope};

struct Looks;

impl Guard for Looks {
    const NAME: &str = "looks";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org, Scope::App];

    fn inputs() -> Vec<Input> {
        vec![
            Input::Time,
            Input::SourceAddress,
            Input::Header("x-wish".to_owned()),
            Input::Query,
            Input::JsonBody,
        ]
    }

    fn decide(request: &Request) -> GuardVerdict {
        let inputs = &request.inputs;
        let wishes: Vec<&str> = inputs.headers.iter().map(|header| header.value.as_str()).collect();
        match wishes.first() {
            Some(&"trap") => panic!("as it was wished"),
            Some(&"deny") => GuardVerdict::Deny(told(request, &wishes)),
            Some(_) | None => GuardVerdict::Pass,
        }
    }
}

fn told(request: &Request, wishes: &[&str]) -> String {
    let inputs = &request.inputs;
    format!(
        "time {} source {} wishes {} query {} body {}",
        inputs.time_ms.is_some(),
        inputs.source_address.as_deref().unwrap_or("none"),
        wishes.join("+"),
        inputs.query.as_deref().unwrap_or("none"),
        inputs.json_body.as_deref().unwrap_or("none"),
    )
}

postern_policy::guard!(Looks);
