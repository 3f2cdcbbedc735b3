//! An orchestrator that does as a test tells it, and keeps every request it got.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sha2::{Digest, Sha256};

/// A scripted orchestrator. It serves until its process ends.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    kept: Arc<Kept>,
}

/// What has happened so far.
#[derive(Default)]
struct Kept {
    received: Mutex<Vec<Received>>,
    broken: Mutex<Vec<Vec<u8>>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Received {
    /// Number of the connection, from 0.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Vec<(String, String)>,
    /// Head and body as they came over the wire, when they are not longer than [`KEPT_BYTES_MAX`].
    pub(crate) octets: Vec<u8>,
    /// The body, when it is not longer than [`KEPT_BYTES_MAX`].
    pub(crate) body: Vec<u8>,
    pub(crate) body_bytes: u64,
    pub(crate) body_sha256: [u8; 32],
}

/// What the upstream does with a request.
pub(crate) enum Reply {
    /// Answers and keeps the connection.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>),
    /// Writes whatever a test wants and closes the connection.
    Raw(Box<dyn FnOnce(&mut TcpStream) + Send>),
    /// Answers as if to keep the connection, and closes it.
    AnswerAndClose(u16),
    /// Closes the connection without a word.
    Close,
}

/// Longest body that is kept.
const KEPT_BYTES_MAX: u64 = 4 << 20;

impl Reply {
    /// An answer with a JSON body.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let fields = vec![("Content-Type", "application/json".to_owned())];
        Self::Answer(status, fields, body.to_string().into_bytes())
    }

    /// An answer without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self::Answer(status, Vec::new(), Vec::new())
    }
}

impl Upstream {
    /// Starts an upstream; `reply` may block as long as it likes, other connections go on.
    pub(crate) fn start(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (reply, kept) = (Arc::new(reply), Arc::<Kept>::default());
        let shared = Arc::clone(&kept);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (reply, kept) = (Arc::clone(&reply), Arc::clone(&shared));
                let connection = kept.connections.fetch_add(1, Ordering::SeqCst);
                kept.open.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    serve(stream, connection, &kept, &*reply);
                    kept.open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, kept }
    }

    /// Starts an upstream that answers every request alike.
    pub(crate) fn answering(status: u16, body: Value) -> Self {
        Self::start(move |_| Reply::json(status, &body))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns all requests that have arrived whole.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.kept.received.lock().expect("no test holds it").clone()
    }

    /// Returns the octets of each request that has begun and was broken off.
    pub(crate) fn broken(&self) -> Vec<Vec<u8>> {
        self.kept.broken.lock().expect("no test holds it").clone()
    }

    /// Counts the connections that have been made.
    pub(crate) fn connections(&self) -> usize {
        self.kept.connections.load(Ordering::SeqCst)
    }

    /// Counts the connections that neither side has ended.
    pub(crate) fn open(&self) -> usize {
        self.kept.open.load(Ordering::SeqCst)
    }

    /// Returns the one request that has arrived.
    #[track_caller]
    pub(crate) fn only(&self) -> Received {
        let mut received = self.received();
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    /// Counts the requests with a method and a target.
    pub(crate) fn count(&self, method: &str, target: &str) -> usize {
        let received = self.received();
        received
            .iter()
            .filter(|request| request.method == method && request.target == target)
            .count()
    }
}

impl Received {
    /// Returns the values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let named = self.fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the names of all fields, in lower case and sorted.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.fields.iter().map(|(name, _)| name.to_lowercase()).collect();
        names.sort();
        names
    }

    /// Returns whether a text stands anywhere in it.
    pub(crate) fn holds(&self, text: &str) -> bool {
        let fields = self
            .fields
            .iter()
            .any(|(name, value)| name.contains(text) || value.contains(text));
        fields || self.target.contains(text) || String::from_utf8_lossy(&self.body).contains(text)
    }
}

fn serve(stream: TcpStream, connection: usize, kept: &Kept, reply: &(impl Fn(&Received) -> Reply + ?Sized)) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream can be shared"));
    let mut writer = stream;
    loop {
        let mut received = Received::default();
        if read_request(&mut reader, &mut received).is_none() {
            if !received.octets.is_empty() {
                kept.broken.lock().expect("no test holds it").push(received.octets);
            }
            return;
        }
        received.connection = connection;
        kept.received.lock().expect("no test holds it").push(received.clone());
        match reply(&received) {
            Reply::Answer(status, fields, body) => {
                if !answer(&mut writer, (status, &fields, &body), received.method == "HEAD") {
                    return;
                }
            }
            Reply::Raw(write) => return write(&mut writer),
            Reply::AnswerAndClose(status) => {
                answer(&mut writer, (status, &[], b""), false);
                return;
            }
            Reply::Close => return,
        }
    }
}

fn answer(
    writer: &mut TcpStream,
    (status, fields, body): (u16, &[(&'static str, String)], &[u8]),
    bodiless: bool,
) -> bool {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
    if status != 204 {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let body = if bodiless { b"" } else { body };
    writer.write_all(&[head.as_bytes(), body].concat()).is_ok()
}

/// Reads a request; `None` when it breaks off, with what came of it.
fn read_request(reader: &mut BufReader<TcpStream>, received: &mut Received) -> Option<()> {
    let line = read_line(reader, received)?;
    let mut words = line.split(' ');
    received.method = words.next()?.to_owned();
    received.target = words.next()?.to_owned();
    loop {
        let line = read_line(reader, received)?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':')?;
        received.fields.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut digest = Sha256::new();
    let chunked = received.values("transfer-encoding") == ["chunked"];
    let length = received
        .values("content-length")
        .first()
        .map(|length| length.parse().expect("a number"));
    if chunked {
        loop {
            let size = u64::from_str_radix(read_line(reader, received)?.trim(), 16).ok()?;
            take(reader, size, received, &mut digest)?;
            read_line(reader, received)?;
            if size == 0 {
                break;
            }
        }
    } else {
        take(reader, length.unwrap_or(0), received, &mut digest)?;
    }
    received.body_sha256 = digest.finalize().into();
    Some(())
}

fn take(reader: &mut impl Read, bytes: u64, received: &mut Received, digest: &mut Sha256) -> Option<()> {
    let mut left = bytes;
    let mut buffer = vec![0; 64 * 1024];
    while left > 0 {
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = reader.read(&mut buffer[..wanted]).ok().filter(|read| *read > 0)?;
        digest.update(&buffer[..read]);
        if received.body_bytes < KEPT_BYTES_MAX {
            received.body.extend_from_slice(&buffer[..read]);
            received.octets.extend_from_slice(&buffer[..read]);
        }
        received.body_bytes += read as u64;
        left -= read as u64;
    }
    Some(())
}

fn read_line(reader: &mut impl BufRead, received: &mut Received) -> Option<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line).ok().filter(|read| *read > 0)?;
    if received.body_bytes < KEPT_BYTES_MAX {
        received.octets.extend_from_slice(&line);
    }
    let whole = line.strip_suffix(b"\r\n")?;
    Some(String::from_utf8_lossy(whole).into_owned())
}
