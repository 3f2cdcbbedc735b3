//! An orchestrator that speaks TLS, HTTP/2 or both, and keeps what it saw of each request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::tls::Authority;

/// How an orchestrator is to be spoken to.
pub(crate) enum Speech<'a> {
    /// HTTP/2 without TLS; so many streams at once on a connection.
    Cleartext(u32),
    /// TLS with the protocols that it offers. A caller needs a certificate of the second authority, if there is one.
    Tls(&'a Authority, &'a [&'static str], Option<&'a Authority>),
}

/// The orchestrator. It answers every request with an empty list and trailers; those with `?hold` when it is told to.
/// The first request for each target with `?reset` is broken off.
pub(crate) struct Secure {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    pub(crate) version: Version,
    pub(crate) uri: String,
    pub(crate) fields: HeaderMap,
    /// What the caller showed.
    pub(crate) certificate: Option<Vec<u8>>,
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    held: Semaphore,
}

impl Secure {
    /// Starts it. It serves until its process ends.
    pub(crate) fn start(speech: &Speech<'_>) -> Self {
        let (streams, acceptor) = match speech {
            Speech::Cleartext(streams) => (*streams, None),
            Speech::Tls(authority, protocols, callers) => (100, Some(acceptor(authority, protocols, *callers))),
        };
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            held: Semaphore::new(0),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || runtime.block_on(serve(listener, acceptor, streams, serving)));
        Self { address, shared }
    }

    /// Returns all requests that have arrived.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no test holds it").clone()
    }

    /// Lets requests that are held be answered.
    pub(crate) fn release(&self, requests: usize) {
        self.shared.held.add_permits(requests);
    }
}

fn acceptor(authority: &Authority, protocols: &[&str], callers: Option<&Authority>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let config = config.expect("TLS 1.2 and 1.3");
    let config = match callers {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            let root = CertificateDer::from_pem_slice(authority.pem().as_bytes()).expect("a certificate");
            roots.add(root).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            config.with_client_cert_verifier(verifier.expect("it has an authority"))
        }
    };
    let own = authority.issue(&["localhost"]);
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).expect("a key");
    let config = config.with_single_cert(vec![CertificateDer::from(own.der)], key);
    let mut config = config.expect("they belong together");
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(listener: TcpListener, acceptor: Option<TlsAcceptor>, streams: u32, shared: Arc<Shared>) {
    let connections = AtomicUsize::new(0);
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        let connection = connections.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(serve_one(stream, acceptor, (streams, connection), shared));
    }
}

async fn serve_one(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    (streams, connection): (u32, usize),
    shared: Arc<Shared>,
) {
    let mut certificate = None;
    let service = |certificate: Option<Vec<u8>>| {
        service_fn(move |request| answer(Arc::clone(&shared), connection, certificate.clone(), request))
    };
    let mut h2 = http2::Builder::new(TokioExecutor::new());
    h2.max_concurrent_streams(streams);
    let Some(acceptor) = acceptor else {
        // A caller that breaks off ends its connection and nothing else.
        return drop(h2.serve_connection(TokioIo::new(stream), service(certificate)).await);
    };
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let session = stream.get_ref().1;
    if let Some([first, ..]) = session.peer_certificates() {
        certificate = Some(first.to_vec());
    }
    if session.alpn_protocol() == Some(b"h2") {
        drop(h2.serve_connection(TokioIo::new(stream), service(certificate)).await);
    } else {
        let h1 = http1::Builder::new();
        drop(h1.serve_connection(TokioIo::new(stream), service(certificate)).await);
    }
}

async fn answer(
    shared: Arc<Shared>,
    connection: usize,
    certificate: Option<Vec<u8>>,
    request: Request<Incoming>,
) -> Result<Response<impl hyper::body::Body<Data = Bytes, Error = Infallible>>, std::io::Error> {
    let seen = Seen {
        connection,
        version: request.version(),
        uri: request.uri().to_string(),
        fields: request.headers().clone(),
        certificate,
    };
    let first = {
        let mut all = shared.seen.lock().expect("no test holds it");
        let first = all.iter().all(|earlier| earlier.uri != seen.uri);
        all.push(seen);
        first
    };
    if request.uri().query() == Some("reset") && first {
        return Err(std::io::Error::other("as it was told"));
    }
    if request.uri().query() == Some("hold") {
        shared.held.acquire().await.expect("it is never closed").forget();
    }
    let mut trailers = HeaderMap::new();
    for name in ["grpc-status", "x-other"] {
        trailers.insert(name, HeaderValue::from_static("0"));
    }
    let body = Full::new(Bytes::from_static(b"[]")).with_trailers(async move { Some(Ok(trailers)) });
    Ok(Response::new(body))
}
