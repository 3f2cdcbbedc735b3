//! Authorities with their certificates, a client that speaks TLS, and the real ones: `openssl s_client` and curl.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion};

use super::client::{Answer, Client, Request, connect, read_body, read_head};

/// An authority that vouches for servers and clients.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Issued {
    pub(crate) pem: String,
    pub(crate) key_pem: String,
    pub(crate) der: Vec<u8>,
}

/// Somebody who sends requests over TLS. Clones share their sessions.
#[derive(Clone)]
pub(crate) struct TlsClient {
    pub(crate) client: Client,
    config: Arc<ClientConfig>,
}

/// An open connection.
pub(crate) struct TlsConnection {
    client: Client,
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names are needed");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("a certificate"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// Issues a certificate for names: hosts, addresses, or whatever a client is called.
    pub(crate) fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    /// Issues a certificate that is past its end.
    pub(crate) fn issue_expired(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |parameters| parameters.not_after = date_time_ymd(2020, 1, 1))
    }

    pub(crate) fn issue_with(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let common = names.first().cloned().unwrap_or_default();
        let mut parameters = CertificateParams::new(names).expect("names");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, common);
        change(&mut parameters);
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.0).expect("a certificate");
        Issued {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }

    /// Returns a list (PEM) of the revoked serial numbers that is good for years.
    pub(crate) fn revoking(&self, serials: &[u64]) -> String {
        self.revoking_until(serials, 4096)
    }

    /// Returns a list (PEM) of the revoked serial numbers that is good until a year.
    pub(crate) fn revoking_until(&self, serials: &[u64], year: i32) -> String {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let parameters = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = parameters.signed_by(&self.0).expect("a list");
        list.pem().expect("it can be written")
    }
}

impl Issued {
    /// Writes certificate and key to files; returns where.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let certificate = write(directory, &format!("{name}.pem"), &self.pem);
        (certificate, write(directory, &format!("{name}.key"), &self.key_pem))
    }

    /// Returns `x5t#S256`.
    pub(crate) fn thumbprint(&self) -> String {
        feed::Thumbprint::of_certificate(&self.der).to_string()
    }
}

impl TlsClient {
    /// Returns somebody who believes an authority, asks by address and has a certificate or none.
    pub(crate) fn new(client: Client, believed: &Authority, own: Option<&Issued>) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, client, believed, own)
    }

    /// Returns the same, who speaks some versions of TLS only.
    pub(crate) fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        client: Client,
        believed: &Authority,
        own: Option<&Issued>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let authority = CertificateDer::from(believed.0.der().to_vec());
        roots.add(authority).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("TLS 1.2 and 1.3")
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).expect("a key");
                let chain = vec![CertificateDer::from(own.der.clone())];
                builder.with_client_auth_cert(chain, key).expect("they belong together")
            }
        };
        config.enable_early_data = true;
        Self {
            client,
            config: Arc::new(config),
        }
    }

    /// Returns the same with a token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        let mut with = self.clone();
        with.client.token = Some(token.to_owned());
        with
    }

    /// Connects; nobody may be invited to send early data, which could be replayed. In TLS 1.3 a refusal of the own certificate shows only when something is read.
    pub(crate) fn connect(&self) -> std::io::Result<TlsConnection> {
        let name = ServerName::from(self.client.address.ip());
        let mut connection = ClientConnection::new(Arc::clone(&self.config), name).expect("a configuration");
        assert!(connection.early_data().is_none(), "early data is taken");
        let mut socket = connect(self.client.address);
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(TlsConnection {
            client: self.client.clone(),
            stream: BufReader::new(StreamOwned::new(connection, socket)),
        })
    }

    /// Sends a request on a connection of its own; an error when the connection does not come to be.
    pub(crate) fn try_send(&self, request: Request) -> std::io::Result<Answer> {
        self.connect()?.try_send(request)
    }

    pub(crate) fn send(&self, request: Request) -> Answer {
        self.try_send(request).expect("an answer comes")
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send(Request::new("GET", target))
    }

    pub(crate) fn post(&self, target: &str, body: &serde_json::Value) -> Answer {
        self.send(Request::new("POST", target).json(body))
    }
}

impl TlsConnection {
    pub(crate) fn try_send(&mut self, request: Request) -> std::io::Result<Answer> {
        let octets = self.client.octets(request);
        self.stream.get_mut().write_all(&octets)?;
        // An alert is an error of reading; an end without one is an answer that did not come.
        if std::io::BufRead::fill_buf(&mut self.stream)?.is_empty() {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut answer = read_head(&mut self.stream).ok_or(std::io::ErrorKind::UnexpectedEof)?;
        answer.body = read_body(&mut self.stream, &answer)?;
        Ok(answer)
    }

    /// Returns the certificate that the server has shown.
    pub(crate) fn shown(&self) -> Vec<u8> {
        let chain = self.stream.get_ref().conn.peer_certificates();
        chain.expect("the handshake is over")[0].to_vec()
    }

    /// Says whether the handshake went on with an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        self.stream.get_ref().conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

/// Writes a file as a careful program does: aside, and then in the place of the old one.
pub(crate) fn write(directory: &Path, name: &str, content: &str) -> PathBuf {
    let (aside, place) = (directory.join(format!("{name}.new")), directory.join(name));
    std::fs::write(&aside, content).expect("it is written");
    std::fs::rename(aside, &place).expect("it can be renamed");
    place
}

/// Runs `openssl s_client` against an address; returns all it printed.
pub(crate) fn s_client(address: SocketAddr, arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &address.to_string()])
        .args(arguments);
    let output = ended(command);
    [output.stdout, output.stderr]
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .concat()
}

/// Runs curl; returns the status of the answer, 0 when there was none.
pub(crate) fn curl(arguments: &[&str]) -> u16 {
    let told = curl_says(&[&["--write-out", "%{http_code}"], arguments].concat());
    told.parse().expect("a status")
}

/// Runs curl; returns what it was asked to tell of an answer.
pub(crate) fn curl_says(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    let quiet = ["--silent", "--show-error", "--max-time", "30", "--output", "/dev/null"];
    command.args(quiet).args(arguments);
    String::from_utf8_lossy(&ended(command).stdout).into_owned()
}

/// Reads whatever comes until the other side ends the connection.
pub(crate) fn read_until_end(mut stream: TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // A reset is an end as well.
    drop(stream.read_to_end(&mut read));
    read
}

/// Returns a time from now, as certificates have it.
pub(crate) fn in_seconds(parameters: &mut CertificateParams, seconds: u64) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the binary under test has the machine's clock too"
    )]
    let now = std::time::SystemTime::now();
    parameters.not_after = (now + Duration::from_secs(seconds)).into();
}

fn ended(mut command: Command) -> Output {
    let program = command.get_program().to_owned();
    let output = command.stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("these tests need {program:?} (apt-get install curl openssl): {error}"))
}
