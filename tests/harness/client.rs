//! Requests and answers, one connection each. It reads answers strictly: what a lenient client would put up with fails.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::PATIENCE;

/// Somebody who sends requests to one address, with one token or none.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) token: Option<String>,
}

/// A request that is being put together.
#[derive(Clone)]
pub(crate) struct Request {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    keeps: bool,
}

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer whose body is still coming.
pub(crate) struct Streaming {
    pub(crate) head: Answer,
    reader: BufReader<TcpStream>,
    bodiless: bool,
}

/// A request that was sent and not answered yet.
pub(crate) struct Sent(TcpStream);

impl Client {
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.send(Request::new("GET", target))
    }

    pub(crate) fn delete(&self, target: &str) -> Answer {
        self.send(Request::new("DELETE", target))
    }

    pub(crate) fn post(&self, target: &str, body: Value) -> Answer {
        self.send(Request::new("POST", target).json(&body))
    }

    pub(crate) fn patch(&self, target: &str, body: Value) -> Answer {
        self.send(Request::new("PATCH", target).json(&body))
    }

    /// Sends a request and reads the answer whole.
    pub(crate) fn send(&self, request: Request) -> Answer {
        self.begin(request).whole()
    }

    /// Sends a request to somebody who may be gone at any moment; `None` when no whole answer came.
    pub(crate) fn try_send(&self, request: Request) -> Option<Answer> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(&self.octets(request)).ok()?;
        let mut reader = BufReader::new(stream);
        let mut answer = read_head(&mut reader)?;
        answer.body = read_body(&mut reader, &answer).ok()?;
        Some(answer)
    }

    /// Sends a request whose answer is read later.
    pub(crate) fn send_later(&self, request: Request) -> Sent {
        let mut stream = connect(self.address);
        stream.write_all(&self.octets(request)).expect("it takes requests");
        Sent(stream)
    }

    /// Sends a request and reads the head of the answer.
    pub(crate) fn begin(&self, request: Request) -> Streaming {
        let mut stream = connect(self.address);
        let bodiless = request.method == "HEAD";
        stream.write_all(&self.octets(request)).expect("it takes requests");
        Streaming {
            bodiless,
            ..Streaming::read(stream)
        }
    }

    /// Returns a request as it goes over the wire.
    pub(crate) fn octets(&self, request: Request) -> Vec<u8> {
        let Request {
            method,
            target,
            fields,
            body,
            keeps,
        } = request;
        let connection = if keeps { "keep-alive" } else { "close" };
        let host = self.address;
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n");
        if let Some(token) = &self.token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        let framed = fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        if !framed && (!body.is_empty() || matches!(&*method, "POST" | "PUT" | "PATCH")) {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.into_bytes(), body].concat()
    }
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            fields: Vec::new(),
            body: Vec::new(),
            keeps: false,
        }
    }

    /// Returns the request on a connection that could serve more.
    pub(crate) fn keeping_the_connection(mut self) -> Self {
        self.keeps = true;
        self
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.field("Content-Type", "application/json").body(body.to_string())
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl Answer {
    /// Returns the value of a field that is there at most once.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(own, _)| own.eq_ignore_ascii_case(name));
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice in {self:?}");
        value.map(|(_, value)| value.as_str())
    }

    /// Returns the body, which must be JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.shown()))
    }

    /// Returns the body after a check of the status.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.shown());
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// Returns status and reason of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        (self.status, body["error"].as_str().unwrap_or("no reason").to_owned())
    }

    /// Returns status, fields and body as a text.
    pub(crate) fn shown(&self) -> String {
        format!(
            "{} {:?}\n{}",
            self.status,
            self.fields,
            String::from_utf8_lossy(&self.body)
        )
    }
}

impl Sent {
    /// Waits for the answer and reads it whole.
    pub(crate) fn whole(self) -> Answer {
        Streaming::read(self.0).whole()
    }
}

impl Streaming {
    /// Reads the head of an answer to a request.
    pub(crate) fn read(stream: TcpStream) -> Self {
        let mut reader = BufReader::new(stream);
        let head = read_head(&mut reader).expect("an answer comes");
        Self {
            head,
            reader,
            bodiless: false,
        }
    }

    /// Reads the next part of a chunked body; `None` at its end.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        read_chunk(&mut self.reader).expect("a whole chunk comes")
    }

    /// Reads the next part of a chunked body; an error when it breaks off.
    pub(crate) fn try_chunk(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        read_chunk(&mut self.reader)
    }

    /// Reads a body of known length in parts, tells of each, and returns the digest of all.
    pub(crate) fn digest_in_parts(mut self, mut tell: impl FnMut(u64)) -> [u8; 32] {
        let mut left: u64 = self
            .head
            .field("content-length")
            .and_then(|l| l.parse().ok())
            .expect("a length");
        let (mut digest, mut part) = (Sha256::new(), vec![0; PART_BYTES]);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(PART_BYTES).min(PART_BYTES);
            self.reader
                .read_exact(&mut part[..wanted])
                .expect("it is as long as it says");
            digest.update(&part[..wanted]);
            left -= wanted as u64;
            tell(left);
        }
        digest.finalize().into()
    }

    /// Reads the rest.
    pub(crate) fn whole(self) -> Answer {
        let head = self.head.shown();
        self.try_whole().unwrap_or_else(|error| panic!("{error} after {head}"))
    }

    /// Reads the rest; an error when it breaks off.
    pub(crate) fn try_whole(self) -> std::io::Result<Answer> {
        let Self {
            mut head,
            mut reader,
            bodiless,
        } = self;
        if !bodiless {
            head.body = read_body(&mut reader, &head)?;
        }
        Ok(head)
    }
}

const PART_BYTES: usize = 1 << 20;

/// Connects, with deadlines for reading and writing.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time can be set");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time can be set");
    stream
}

/// Reads the head of an answer, past interim ones. `None` when the connection has ended.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Option<Answer> {
    loop {
        let status_line = read_line(reader).ok().filter(|line| !line.is_empty())?;
        let status = status_line
            .strip_prefix("HTTP/1.")
            .and_then(|rest| rest.get(2..5))
            .and_then(|s| s.parse().ok());
        let status = status.unwrap_or_else(|| panic!("not a status line: {status_line:?}"));
        let mut fields = Vec::new();
        loop {
            let line = read_line(reader).ok()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a field: {line:?}"));
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        if status >= 200 {
            return Some(Answer {
                status,
                fields,
                body: Vec::new(),
            });
        }
    }
}

/// Reads the body that a head announces.
pub(crate) fn read_body(reader: &mut impl BufRead, head: &Answer) -> std::io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if matches!(head.status, 204 | 304) {
        return Ok(body);
    }
    if head.field("transfer-encoding").is_some() {
        assert!(head.field("content-length").is_none(), "framed twice: {head:?}");
        while let Some(chunk) = read_chunk(reader)? {
            body.extend(chunk);
        }
    } else if let Some(length) = head.field("content-length") {
        body.resize(length.parse().expect("a number"), 0);
        reader.read_exact(&mut body)?;
    } else {
        reader.read_to_end(&mut body)?;
    }
    Ok(body)
}

fn read_chunk(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let line = read_line(reader)?;
    let size = usize::from_str_radix(&line, 16).map_err(std::io::Error::other)?;
    let mut chunk = vec![0; size];
    reader.read_exact(&mut chunk)?;
    let end = read_line(reader)?;
    assert_eq!(end, "", "a chunk, or the body, ends with an empty line");
    Ok((size > 0).then_some(chunk))
}

fn read_line(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
