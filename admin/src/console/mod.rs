//! The console: the API as people see it, in a browser.
//!
//! Each page stands for operations of the catalogue. What a person asks is decided by the same policies and guards as a
//! request at a gateway, and handed to the very same routes; no rule is written down a second time here. Pages are made
//! on the server; what a browser runs is one small module that they do without.
//!
//! # Layout
//! - [`fence`]: what every request must be and every answer says; [`door`]: who has signed in.
//! - [`sign_in`], [`sessions`]: coming and going.
//! - [`ask`]: from what a page wants to the API, and back.
//! - [`shell`]: what surrounds every page; [`form`]: what was typed; [`moment`], [`plot`]: times and numbers for people.
//! - [`service_users`], [`service_user`], [`edit`], [`roles`], [`tokens`]: the pages of service users.
//! - [`access`], [`decisions`]: what a service user may do, what was decided, and why.
//! - [`policies`], [`members`], [`audit`], [`gateways`]: the pages of what their names say.
//! - [`counts`]: numbers for those who watch it.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use feed::Digest;
use http::Uri;

use crate::api::{self, Api};
use crate::error::ApiError;

mod access;
mod ask;
mod audit;
mod counts;
mod decisions;
mod door;
mod edit;
mod fence;
mod form;
mod gateways;
mod members;
mod moment;
mod plot;
mod policies;
mod roles;
mod service_user;
mod service_users;
mod sessions;
mod shell;
mod sign_in;
mod tokens;

pub use counts::ConsoleCounts;
pub(crate) use counts::Counting;

/// What the console needs beyond the API.
pub(crate) struct Console {
    api: Api,
    /// The API's routes, where whoever has signed in is the caller.
    routes: Router,
    origin: Origin,
    /// Where callers reach the gateways, without a slash at its end; empty: nobody has said.
    gateway_url: String,
    /// Of what the command line asks for links with.
    key: Digest,
    counts: Arc<Counting>,
}

/// Where browsers find the console: a scheme, a host and a port, and nothing behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    text: String,
    authority: String,
}

/// A text that is no origin of a console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither https://HOST nor http://localhost:PORT: browsers keep a session's cookie for those only")]
pub struct InvalidOrigin;

impl Origin {
    /// Reads an origin. Browsers send cookies that are `Secure` over https, and to the machine that they run on.
    ///
    /// # Errors
    /// [`InvalidOrigin`].
    pub fn parse(text: &str) -> Result<Self, InvalidOrigin> {
        let text = text.trim_end_matches('/');
        let uri: Uri = text.parse().map_err(|_malformed| InvalidOrigin)?;
        let authority = uri.authority().ok_or(InvalidOrigin)?.as_str().to_ascii_lowercase();
        let bare = uri.path() == "/" && uri.query().is_none() && !authority.contains('@');
        let kept = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => uri.host() == Some("localhost"),
            Some(_) | None => false,
        };
        if !bare || !kept || text.contains('#') {
            return Err(InvalidOrigin);
        }
        Ok(Self {
            text: text.to_ascii_lowercase(),
            authority,
        })
    }

    /// Returns it as browsers send it.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Console {
    pub(crate) fn new(api: Api, (origin, gateway_url): (Origin, &str), key: Digest, counts: Arc<Counting>) -> Self {
        let routes = api::routes(api.clone())
            .fallback(async || ApiError::NotFound)
            .method_not_allowed_fallback(async || ApiError::MethodNotAllowed);
        Self {
            api,
            routes,
            origin,
            gateway_url: gateway_url.trim_end_matches('/').to_owned(),
            key,
            counts,
        }
    }

    /// Returns the routes of the console.
    pub(crate) fn routes(self) -> Router {
        let console = Arc::new(self);
        pages()
            .layer(from_fn_with_state(Arc::clone(&console), door::require_person))
            .merge(open_routes())
            .fallback(async || ask::Refused::absent())
            .layer(from_fn_with_state(Arc::clone(&console), fence::check_request))
            .merge(Router::new().route("/sign-in-links", post(sign_in::make_link)))
            .layer(from_fn(fence::guard_answer))
            .with_state(console)
    }
}

/// What whoever has not signed in may see.
fn open_routes() -> Router<Arc<Console>> {
    Router::new()
        .route("/sign-in", get(sign_in::form).post(sign_in::follow))
        .route("/assets/{name}", get(shell::asset))
}

fn pages() -> Router<Arc<Console>> {
    Router::new()
        .route("/", get(service_users::front))
        .route("/sign-out", post(sign_in::leave))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{session}/end", post(sessions::end))
        .route("/service-users", get(service_users::list).post(edit::create))
        .route("/service-users/new", get(edit::new))
        .route("/service-users/{user}", get(service_user::read).post(edit::update))
        .route("/service-users/{user}/edit", get(edit::edit))
        .route(
            "/service-users/{user}/delete",
            get(edit::confirm_delete).post(edit::delete),
        )
        .route("/service-users/{user}/state", post(edit::switch))
        .route("/service-users/{user}/roles", post(roles::give))
        .route("/service-users/{user}/roles/take", post(roles::take))
        .route("/service-users/{user}/tokens", post(tokens::issue))
        .route("/service-users/{user}/tokens/new", get(tokens::new))
        .route(
            "/service-users/{user}/tokens/{token}/revoke",
            get(tokens::confirm_revoke).post(tokens::revoke),
        )
        .route("/service-users/{user}/access", get(access::read))
        .route("/service-users/{user}/access/why", get(access::why))
        .route("/members", get(members::list).post(members::invite))
        .route("/members/{member}", get(members::read).post(members::change))
        .route("/members/{member}/remove", post(members::remove))
        .route(
            "/policies",
            get(policies::list)
                .post(policies::publish)
                .layer(DefaultBodyLimit::max(form::UPLOAD_BYTES_MAX)),
        )
        .route("/policies/{policy}", get(policies::read).post(policies::change))
        .route("/decisions", get(decisions::list))
        .route("/decisions/{decision}", get(decisions::read))
        .route("/audit", get(audit::list))
        .route("/audit/export", get(audit::export))
        .route("/gateways", get(gateways::list))
}

impl std::fmt::Debug for Console {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Console(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_https_or_this_machine() {
        for (text, expected) in [
            ("https://console.example.com", Ok("https://console.example.com")),
            (
                "https://Console.example.com:8443/",
                Ok("https://console.example.com:8443"),
            ),
            ("http://localhost:8083", Ok("http://localhost:8083")),
            ("http://127.0.0.1:8083", Err(InvalidOrigin)),
            ("http://console.example.com", Err(InvalidOrigin)),
            ("https://console.example.com/path", Err(InvalidOrigin)),
            ("https://jo@console.example.com", Err(InvalidOrigin)),
            ("console.example.com", Err(InvalidOrigin)),
        ] {
            let read = Origin::parse(text);
            assert_eq!(
                read.as_ref().map(Origin::as_str).map_err(|error| *error),
                expected,
                "{text}"
            );
        }
    }
}
