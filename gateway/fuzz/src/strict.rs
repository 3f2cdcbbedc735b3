//! A reader of HTTP/1.1 requests that takes RFC 9112 by the letter and has no mercy: what it cannot read in its one way is an
//! error.

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'o> {
    /// First octet and end of the head.
    pub head: (usize, usize),
    /// Method.
    pub method: &'o [u8],
    /// Target.
    pub target: &'o [u8],
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub minor: u8,
    /// Names and values of the fields, in their order.
    pub fields: Vec<(&'o [u8], &'o [u8])>,
    /// The content, as far as it is there.
    pub content: Vec<u8>,
    /// Where the request ends; `None` when it goes on behind what is there.
    pub end: Option<usize>,
}

impl<'o> Request<'o> {
    /// Returns the values of a field.
    pub fn values(&self, name: &str) -> Vec<&'o [u8]> {
        let own = self
            .fields
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()));
        own.map(|(_, value)| *value).collect()
    }
}

/// Reads all requests. Only the content of the last may be incomplete.
///
/// # Errors
/// What is wrong with the first that cannot be read.
pub fn read(octets: &[u8]) -> Result<Vec<Request<'_>>, String> {
    let (mut requests, mut at) = (Vec::new(), 0);
    while at < octets.len() {
        let request = request(octets, at).map_err(|problem| format!("at {at}: {problem}"))?;
        at = request.end.unwrap_or(octets.len());
        requests.push(request);
    }
    Ok(requests)
}

fn request(octets: &[u8], start: usize) -> Result<Request<'_>, String> {
    let mut at = start;
    if octets[at..].starts_with(b"\r\n") {
        at += 2;
    }
    let first = line(octets, &mut at)?.ok_or("no request line")?;
    let words: Vec<&[u8]> = first.split(|octet| *octet == b' ').collect();
    let [method, target, version] = words[..] else {
        return Err("the request line is not three words".to_owned());
    };
    let minor = match version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        _ => return Err("the version is neither 1.0 nor 1.1".to_owned()),
    };
    if !is_token(method) || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err("method or target is malformed".to_owned());
    }
    let mut fields = Vec::new();
    loop {
        match line(octets, &mut at)?.ok_or("a head that ends early")? {
            b"" => break,
            text => fields.push(field(text)?),
        }
    }
    let mut request = Request {
        head: (start, at),
        method,
        target,
        minor,
        fields,
        content: Vec::new(),
        end: None,
    };
    let (lengths, codings) = (request.values("content-length"), request.values("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => request.end = Some(at),
        ([length], []) => {
            let length = number(length, 10)?;
            let there = &octets[at..];
            request.end = there.len().checked_sub(length).map(|_| at + length);
            request.content = there[..length.min(there.len())].to_vec();
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && minor == 1 => {
            request.end = chunks(octets, at, &mut request.content)?;
        }
        _ => return Err("the length can be read in two ways".to_owned()),
    }
    Ok(request)
}

/// Reads chunks and trailers; returns where they end, if that is there.
fn chunks(octets: &[u8], mut at: usize, content: &mut Vec<u8>) -> Result<Option<usize>, String> {
    loop {
        if at == octets.len() {
            return Ok(None);
        }
        let text = line(octets, &mut at)?.ok_or("a chunk size that ends early")?;
        let digits = text.split(|octet| *octet == b';').next().unwrap_or_default();
        let size = number(digits, 16)?;
        if size == 0 {
            break;
        }
        let there = &octets[at..];
        content.extend_from_slice(&there[..size.min(there.len())]);
        if there.len() <= size {
            return Ok(None);
        }
        at += size;
        if !octets[at..].starts_with(b"\r\n") {
            return Err("no line end behind a chunk".to_owned());
        }
        at += 2;
    }
    // Trailers are handed on whole: there is nothing of them, or all.
    if at == octets.len() {
        return Ok(None);
    }
    loop {
        match line(octets, &mut at)?.ok_or("trailers that end early")? {
            b"" => return Ok(Some(at)),
            text => drop(field(text)?),
        }
    }
}

/// Takes the next line, which ends in CR LF and holds neither; `None` when it does not end.
fn line<'o>(octets: &'o [u8], at: &mut usize) -> Result<Option<&'o [u8]>, String> {
    let rest = &octets[*at..];
    let Some(length) = rest.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let line = &rest[..length];
    if line.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
        return Err("a line holds what others take for its end".to_owned());
    }
    *at += length + 2;
    Ok(Some(line))
}

fn field(line: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let colon = line
        .iter()
        .position(|octet| *octet == b':')
        .ok_or("a field without colon")?;
    let (name, mut value) = (&line[..colon], &line[colon + 1..]);
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    let text = |octet: &u8| *octet == b'\t' || *octet >= b' ' && *octet != 0x7f;
    if !is_token(name) || !value.iter().all(text) {
        return Err("a field's name or value is malformed".to_owned());
    }
    Ok((name, value))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &[u8]) -> bool {
    let token = |octet: &u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(octet);
    !text.is_empty() && text.iter().all(token)
}

fn number(digits: &[u8], radix: u32) -> Result<usize, String> {
    let text = std::str::from_utf8(digits).map_err(|error| error.to_string())?;
    if text.is_empty() || !text.chars().all(|digit| digit.is_digit(radix)) {
        return Err("a length that is not digits".to_owned());
    }
    usize::from_str_radix(text, radix).map_err(|error| error.to_string())
}
