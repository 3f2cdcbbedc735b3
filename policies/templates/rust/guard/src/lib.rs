//! {{name}}: nothing is deleted without a ticket.

use postern_policy::{Guard, GuardVerdict, Input, Request, Scope};

struct Policy;

impl Guard for Policy {
    const NAME: &str = "{{name}}";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SCOPES: &[Scope] = &[Scope::Org, Scope::App];

    fn inputs() -> Vec<Input> {
        vec![Input::header("x-change-ticket")]
    }

    fn decide(request: &Request) -> GuardVerdict {
        if request.operation.method == "DELETE" && request.header("x-change-ticket").is_none() {
            return GuardVerdict::deny("deletions need a ticket: send the header x-change-ticket");
        }
        GuardVerdict::Pass
    }
}

postern_policy::guard!(Policy);
