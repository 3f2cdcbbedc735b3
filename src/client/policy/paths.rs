//! The API's paths about policies.

use crate::client::api::segment;
use crate::client::connection::Session;
use crate::client::error::Error;

/// Returns a path below the organisation.
///
/// # Errors
/// What finding the organisation fails with.
pub(super) async fn below_org(session: &Session, rest: &str) -> Result<String, Error> {
    Ok(format!("/orgs/{}/{rest}", segment(session.org().await?)))
}

/// Returns the path of a policy.
///
/// # Errors
/// As [`below_org`].
pub(super) async fn policy(session: &Session, name: &str) -> Result<String, Error> {
    below_org(session, &format!("policies/{}", segment(name))).await
}

/// Returns the path of a guard.
///
/// # Errors
/// As [`below_org`].
pub(super) async fn guard(session: &Session, id: &str) -> Result<String, Error> {
    below_org(session, &format!("guards/{}", segment(id))).await
}

/// Returns a query, with its question mark, of the parameters that have a value; empty without any.
pub(super) fn query(parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let pairs: Vec<_> = given
        .map(|(name, value)| format!("{name}={}", segment(value)))
        .collect();
    if pairs.is_empty() {
        String::new()
    } else {
        format!("?{}", pairs.join("&"))
    }
}
