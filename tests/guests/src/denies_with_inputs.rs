//! A guard that refuses everything and says what it was told. It asks for all that there is.

#![no_std]

extern crate alloc;

use alloc::borrow::ToOwned;
use alloc::vec;
use alloc::vec::Vec;

use postern_policy::{Guard, GuardVerdict, Input, Request, Scope};

struct DeniesWithInputs;

impl Guard for DeniesWithInputs {
    const NAME: &str = "denies-with-inputs";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org];
    const SETTINGS_SCHEMA: Option<&str> = Some(r#"{"type": "object"}"#);

    fn inputs() -> Vec<Input> {
        vec![
            Input::Time,
            Input::SourceAddress,
            Input::Header("x-change".to_owned()),
            Input::Query,
            Input::JsonBody,
        ]
    }

    fn decide(request: &Request) -> GuardVerdict {
        GuardVerdict::Deny(guests::told(request))
    }
}

postern_policy::guard!(DeniesWithInputs);
