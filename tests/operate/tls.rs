//! TLS towards the orchestrator: believed only when an authority says so.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::harness::postern::Postern;

/// An authority that vouches for orchestrators.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut parameters = CertificateParams::new(Vec::new()).expect("no names are needed");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// Starts an orchestrator with a certificate for a name; it answers everything with an empty list.
fn orchestrator(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> SocketAddr {
    let key = KeyPair::generate().expect("a key");
    let parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    let certificate = parameters.signed_by(&key, authority).expect("a certificate");
    let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    let config = Arc::new(config.expect("they belong together"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).expect("the configuration is good");
            let mut stream = BufReader::new(StreamOwned::new(connection, stream));
            let mut line = String::new();
            // A caller that does not believe us ends the handshake.
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            drop(
                stream
                    .get_mut()
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]"),
            );
        }
    });
    address
}

#[test]
fn an_orchestrator_is_believed_when_the_given_authority_vouches_for_its_name_and_otherwise_not() {
    let (trusted, other) = (authority(), authority());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, trusted.pem()).expect("it is written");
    let flags = ["--upstream-ca-file", file.to_str().expect("UTF-8")];
    let asked = |address: SocketAddr, flags: &[&str]| {
        let postern = Postern::with(&format!("https://localhost:{}", address.port()), flags);
        let answer = postern.administrator().get("/orgs/acme/env-types");
        if answer.status != 200 {
            postern.assert_refused(&answer, "upstream-unreachable");
        }
        answer.status
    };
    assert_eq!(asked(orchestrator(&trusted, "localhost"), &flags), 200);
    assert_eq!(asked(orchestrator(&trusted, "other.example"), &flags), 502);
    assert_eq!(asked(orchestrator(&other, "localhost"), &flags), 502);
    assert_eq!(asked(orchestrator(&trusted, "localhost"), &[]), 502);
}
