//! URLs of upstreams: what one says of an endpoint, and what it may not say.

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;

use super::address::Named;

/// URLs that cannot be an upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    /// Not `http://` or `https://` with a host.
    #[error("{0:?} is not an http:// or https:// URL")]
    Form(String),
    /// With a user, a query or a fragment.
    #[error("{0:?} must hold nothing but scheme, host, port and path")]
    Extra(String),
    /// Not the path of the first one: a request could not be sent to either.
    #[error("{0:?} has another path than the first: all endpoints need the same")]
    Path(String),
    /// One authority twice.
    #[error("{0:?} is given twice")]
    Twice(String),
    /// None, or more than can be told apart.
    #[error("1 to {ENDPOINTS_MAX} URLs are needed")]
    Count,
}

/// What a URL says of an endpoint.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    /// Value of `Host`.
    pub(super) host: HeaderValue,
    /// Host without brackets, as it is looked up.
    pub(super) name: String,
    pub(super) named: Named,
    pub(super) server: ServerName<'static>,
    pub(super) port: u16,
    pub(super) secure: bool,
    /// Path before every path; without a slash at its end.
    pub(super) prefix: String,
}

/// Returns the places of the endpoints of one upstream.
pub(super) fn places(urls: &[String]) -> Result<Vec<Place>, BadUrl> {
    if urls.is_empty() || urls.len() > ENDPOINTS_MAX {
        return Err(BadUrl::Count);
    }
    let mut places: Vec<Place> = Vec::with_capacity(urls.len());
    for url in urls {
        let place = place(url)?;
        if places.first().is_some_and(|first| first.prefix != place.prefix) {
            return Err(BadUrl::Path(url.clone()));
        }
        if places.iter().any(|earlier| earlier.authority == place.authority) {
            return Err(BadUrl::Twice(url.clone()));
        }
        places.push(place);
    }
    Ok(places)
}

/// Most endpoints of one upstream: a set of them is a number of 64 bits.
const ENDPOINTS_MAX: usize = 64;

fn place(url: &str) -> Result<Place, BadUrl> {
    let form = || BadUrl::Form(url.to_owned());
    let uri: Uri = url.parse().map_err(|_invalid: http::uri::InvalidUri| form())?;
    let authority = uri.authority().ok_or_else(form)?.clone();
    if authority.as_str().contains('@') || uri.query().is_some() || url.contains('#') {
        return Err(BadUrl::Extra(url.to_owned()));
    }
    let scheme = uri.scheme().ok_or_else(form)?.clone();
    let secure = scheme == Scheme::HTTPS;
    if !secure && scheme != Scheme::HTTP {
        return Err(form());
    }
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = name.to_owned();
    let server =
        ServerName::try_from(name.clone()).map_err(|_invalid: rustls::pki_types::InvalidDnsNameError| form())?;
    let host =
        HeaderValue::try_from(authority.as_str()).map_err(|_invalid: http::header::InvalidHeaderValue| form())?;
    Ok(Place {
        port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        named: Named::of(&name),
        prefix: uri.path().trim_end_matches('/').to_owned(),
        scheme,
        authority,
        host,
        name,
        server,
        secure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(urls: &[&str]) -> Option<BadUrl> {
        let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
        places(&urls).err()
    }

    #[test]
    fn urls_say_where_an_upstream_is_and_nothing_else() {
        assert_eq!(error(&["https://a.example/x", "http://[::1]:80/x/"]), None);
        for url in ["a.example", "ftp://a.example", "https://", "/x"] {
            assert!(matches!(error(&[url]), Some(BadUrl::Form(_))), "{url}");
        }
        for url in ["https://u@a.example", "https://a.example/?q", "https://a.example/#f"] {
            assert!(matches!(error(&[url]), Some(BadUrl::Extra(_))), "{url}");
        }
        let path = error(&["https://a.example/x", "https://b.example/y"]);
        assert_eq!(path, Some(BadUrl::Path("https://b.example/y".to_owned())));
        let twice = error(&["https://a.example", "https://A.example"]);
        assert_eq!(twice, Some(BadUrl::Twice("https://A.example".to_owned())));
        assert_eq!(error(&[]), Some(BadUrl::Count));
    }
}
