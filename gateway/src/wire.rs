//! Wire: HTTP/1.1 as it arrives, octet by octet, admitted only when every reader would read it alike.
//!
//! hyper is a transport: it puts up with what others read differently, and repairs it before anyone can see that it was
//! there. So this stands below it. It follows heads, lengths and chunks, hands on what is well formed, and refuses the
//! rest: RFC 9112 taken at its strictest. It knows nothing of sockets, hosts, paths or what a field means beyond framing.

use http::Uri;
use memchr::memchr;

use crate::refusal::Reason;

/// Follows the requests of one connection.
#[derive(Debug)]
pub struct Wire {
    limits: Limits,
    place: Place,
    /// What is known of the section that is being read, when it has not arrived whole.
    section: Section,
    /// Heads that were admitted.
    heads: u64,
}

/// How much a head may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest request target, in octets.
    pub target_bytes_max: usize,
    /// Longest header section, in octets: all field lines with their ends.
    pub fields_bytes_max: usize,
    /// Most fields of a header section.
    pub fields_max: usize,
}

/// Octets that may not be handed on. Nothing after them can be told apart from a request that somebody smuggled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Why.
    pub reason: Reason,
    /// What of the request line was well formed: method and, if it was, target.
    pub request: Option<(String, Option<String>)>,
    /// Whether it is in the head of a request, which can be answered, or in the body of one that was handed on.
    pub in_head: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Head,
    /// In a body with this many octets left.
    Body(u64),
    /// At the line that gives a chunk's size.
    ChunkSize,
    /// In a chunk with this many octets left.
    Chunk(u64),
    /// At the line end behind a chunk.
    ChunkEnd,
    Trailers,
    /// Behind a head that asks for another protocol: what follows is a request or is not, as the answer says.
    Held,
}

/// Progress in a head or a trailer section; offsets are from its first octet.
#[derive(Debug, Default)]
struct Section {
    /// First octet of the line that is being looked for.
    line: usize,
    /// First octet that has not been searched for the line's end.
    searched: usize,
    /// First octet of the fields.
    fields_start: usize,
    fields: usize,
    request: Option<RequestLine>,
    /// Whether the empty line that may stand before a request line was seen.
    empty_line: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

#[derive(Debug, Clone, Copy)]
struct RequestLine {
    start: usize,
    method_end: usize,
    target_end: usize,
    minor: u8,
}

impl Wire {
    /// Returns a follower of a connection from its first octet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            place: Place::Head,
            section: Section::default(),
            heads: 0,
        }
    }

    /// Looks at the octets that have arrived and were not handed on, and returns how many of them may be now. The rest must
    /// be shown again, with more behind it.
    ///
    /// Heads, chunk sizes and trailers are handed on whole.
    ///
    /// # Errors
    /// [`Violation`] when the first of these octets begin something that may not be handed on.
    pub fn look(&mut self, octets: &[u8]) -> Result<usize, Violation> {
        let mut passed = 0;
        while passed < octets.len() {
            match self.step(&octets[passed..]) {
                Ok(0) => break,
                Ok(more) => passed += more,
                Err(violation) if passed == 0 => return Err(violation),
                // It is met again once what stands before it has been handed on.
                Err(_violation) => {
                    self.section = Section::default();
                    break;
                }
            }
        }
        Ok(passed)
    }

    /// Returns whether a head has begun to arrive and has not ended.
    pub fn in_head(&self) -> bool {
        self.place == Place::Head && self.section.searched > 0
    }

    /// Returns whether a request has more to come behind its head.
    pub fn in_body(&self) -> bool {
        !matches!(self.place, Place::Head | Place::Held)
    }

    /// Returns how many heads were admitted.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Returns whether what follows waits for the answer to a request for another protocol.
    pub fn is_held(&self) -> bool {
        self.place == Place::Held
    }

    /// Goes on with the next request: the last one's wish for another protocol was not granted.
    pub fn release(&mut self) {
        if self.place == Place::Held {
            self.place = Place::Head;
        }
    }

    /// Describes a head that did not arrive whole in time.
    pub fn late(&self, octets: &[u8]) -> Violation {
        self.violation(Reason::HeaderTimeout, octets)
    }

    fn step(&mut self, octets: &[u8]) -> Result<usize, Violation> {
        match self.place {
            Place::Head => self.head(octets),
            Place::Body(left) => {
                let (taken, rest) = take(left, octets);
                self.place = if rest == 0 { Place::Head } else { Place::Body(rest) };
                Ok(taken)
            }
            Place::Chunk(left) => {
                let (taken, rest) = take(left, octets);
                self.place = if rest == 0 { Place::ChunkEnd } else { Place::Chunk(rest) };
                Ok(taken)
            }
            Place::ChunkEnd => match octets {
                [b'\r', b'\n', ..] => {
                    self.place = Place::ChunkSize;
                    Ok(2)
                }
                [b'\r'] => Ok(0),
                _ => Err(in_body()),
            },
            Place::ChunkSize => self.chunk_size(octets),
            Place::Trailers => self.trailers(octets),
            Place::Held => Ok(0),
        }
    }

    fn head(&mut self, octets: &[u8]) -> Result<usize, Violation> {
        while let Some(line) = self.section.next_line(octets) {
            let line = line.map_err(|Malformed| self.violation(Reason::RequestAmbiguous, octets))?;
            let taken = match self.section.request {
                None => self.section.request_line(line, &self.limits),
                Some(_) if line.is_empty() => {
                    self.place = self
                        .section
                        .framing()
                        .ok_or_else(|| self.violation(Reason::RequestAmbiguous, octets))?;
                    self.heads += 1;
                    return Ok(std::mem::take(&mut self.section).line);
                }
                Some(_) => self.section.field(line),
            };
            taken.map_err(|reason| self.violation(reason, octets))?;
            self.check_size(octets)?;
        }
        self.check_size(octets)?;
        Ok(0)
    }

    /// Checks the limits, of a head that may still be arriving.
    fn check_size(&self, octets: &[u8]) -> Result<(), Violation> {
        let section = &self.section;
        if section.request.is_none() {
            let over = section.searched > self.limits.target_bytes_max + REQUEST_LINE_MARGIN;
            return if over {
                Err(self.violation(Reason::TargetTooLong, octets))
            } else {
                Ok(())
            };
        }
        let whole_lines = section.line - section.fields_start;
        // The empty line at the end is no field.
        let arrived = (section.searched - section.fields_start).saturating_sub(LINE_END.len());
        if whole_lines.max(arrived) > self.limits.fields_bytes_max || section.fields > self.limits.fields_max {
            return Err(self.violation(Reason::FieldsTooLarge, octets));
        }
        Ok(())
    }

    fn chunk_size(&mut self, octets: &[u8]) -> Result<usize, Violation> {
        let Some(end) = memchr(b'\n', &octets[..octets.len().min(CHUNK_LINE_BYTES_MAX)]) else {
            return if octets.len() < CHUNK_LINE_BYTES_MAX {
                Ok(0)
            } else {
                Err(in_body())
            };
        };
        let line = octets[..end].strip_suffix(b"\r").ok_or_else(in_body)?;
        let digits = line
            .iter()
            .position(|octet| !octet.is_ascii_hexdigit())
            .unwrap_or(line.len());
        let (size, extension) = line.split_at(digits);
        // RFC 9112 §7.1.1: extensions are ignored. They go no further than here, but hyper reads them too.
        let extension_is_plain =
            extension.is_empty() || extension[0] == b';' && extension.iter().all(|o| is_text(*o) && o.is_ascii());
        if !(1..=CHUNK_DIGITS_MAX).contains(&size.len()) || !extension_is_plain {
            return Err(in_body());
        }
        let size = size.iter().fold(0, |size, digit| size << 4 | u64::from(hex(*digit)));
        self.place = if size == 0 { Place::Trailers } else { Place::Chunk(size) };
        Ok(end + 1)
    }

    fn trailers(&mut self, octets: &[u8]) -> Result<usize, Violation> {
        while let Some(line) = self.section.next_line(octets) {
            let line = line.map_err(|Malformed| in_body())?;
            if line.is_empty() {
                self.place = Place::Head;
                return Ok(std::mem::take(&mut self.section).line);
            }
            split_field(line).ok_or_else(in_body)?;
            if self.section.line > TRAILERS_BYTES_MAX {
                return Err(in_body());
            }
        }
        // The empty line at the end is no field.
        if self.section.searched.saturating_sub(LINE_END.len()) > TRAILERS_BYTES_MAX {
            return Err(in_body());
        }
        Ok(0)
    }

    fn violation(&self, reason: Reason, octets: &[u8]) -> Violation {
        let text = |from: usize, to: usize| String::from_utf8_lossy(&octets[from..to]).into_owned();
        let request = self.section.request.map(|line| {
            let target = text(line.method_end + 1, line.target_end);
            (text(line.start, line.method_end), Some(target))
        });
        Violation {
            reason,
            request: request.or_else(|| method_of(octets).map(|method| (method, None))),
            in_head: true,
        }
    }
}

/// A line that does not end as it must.
struct Malformed;

impl Section {
    /// Returns the next line without its end, once it has arrived whole.
    fn next_line<'o>(&mut self, octets: &'o [u8]) -> Option<Result<&'o [u8], Malformed>> {
        let Some(end) = memchr(b'\n', &octets[self.searched..]) else {
            self.searched = octets.len();
            return None;
        };
        let end = self.searched + end;
        let line = octets[self.line..end].strip_suffix(b"\r").ok_or(Malformed);
        self.line = end + 1;
        self.searched = end + 1;
        Some(line)
    }

    fn request_line(&mut self, line: &[u8], limits: &Limits) -> Result<(), Reason> {
        // RFC 9112 §2.2: one empty line before a request is put up with.
        if line.is_empty() && !std::mem::replace(&mut self.empty_line, true) {
            return Ok(());
        }
        let malformed = Reason::RequestAmbiguous;
        let method = line.iter().position(|octet| *octet == b' ').ok_or(malformed)?;
        let target = line[method + 1..]
            .iter()
            .position(|octet| *octet == b' ')
            .ok_or(malformed)?;
        let (target, version) = (&line[method + 1..method + 1 + target], &line[method + 2 + target..]);
        let minor = match version {
            b"HTTP/1.1" => 1,
            b"HTTP/1.0" => 0,
            _ => return Err(malformed),
        };
        if method == 0 || !line[..method].iter().all(|octet| is_token(*octet)) {
            return Err(malformed);
        }
        if !is_target(target) {
            return Err(malformed);
        }
        let start = self.line - line.len() - LINE_END.len();
        self.request = Some(RequestLine {
            start,
            method_end: start + method,
            target_end: start + method + 1 + target.len(),
            minor,
        });
        self.fields_start = self.line;
        // A line that arrives whole is no longer than one that does not.
        if target.len() > limits.target_bytes_max || self.line - target.len() > REQUEST_LINE_MARGIN {
            Err(Reason::TargetTooLong)
        } else {
            Ok(())
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Reason> {
        let (name, value) = split_field(line).ok_or(Reason::RequestAmbiguous)?;
        self.fields += 1;
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = decimal(value).filter(|_| self.length.is_none());
                self.length = Some(length.ok_or(Reason::RequestAmbiguous)?);
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Reason::RequestAmbiguous);
                }
                self.chunked = true;
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade = true,
            _ => {}
        }
        Ok(())
    }

    /// What follows the head. `None` when readers differ: RFC 9112 §6.1 and §6.3.
    fn framing(&self) -> Option<Place> {
        match (self.length, self.chunked) {
            (Some(_), true) => None,
            (None, true) => self
                .request
                .is_some_and(|line| line.minor == 1)
                .then_some(Place::ChunkSize),
            (Some(length), false) if length > 0 => Some(Place::Body(length)),
            (Some(_) | None, false) if self.upgrade => Some(Place::Held),
            (Some(_) | None, false) => Some(Place::Head),
        }
    }
}

/// Most octets of a request line beside its target: the longest method, spaces, version and line ends.
const REQUEST_LINE_MARGIN: usize = 64;

const LINE_END: &[u8] = b"\r\n";

/// Most digits of a chunk's size: below 2^60, so that no reader's number overflows.
const CHUNK_DIGITS_MAX: usize = 15;

/// Longest line that gives a chunk's size, extensions and all, in octets. An endless one costs others memory.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Longest trailer section, in octets. Request trailers are dropped, so nobody needs a long one.
const TRAILERS_BYTES_MAX: usize = 8 * 1024;

/// Octets by class: 1 for those of a token (RFC 9110 §5.6.2), 2 for those of a field's value (§5.5).
static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut octet = 0;
    while octet < 256 {
        let byte = octet as u8;
        let symbol = matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        );
        let token = byte.is_ascii_alphanumeric() || symbol;
        let text = byte == b'\t' || byte >= b' ' && byte != 0x7f;
        classes[octet] = token as u8 | (text as u8) << 1;
        octet += 1;
    }
    classes
}

fn is_token(octet: u8) -> bool {
    CLASS[usize::from(octet)] & 1 != 0
}

/// Whether hyper reads a target, and every reader alike: RFC 9112 §3.2 in the characters of RFC 3986, without a fragment, and
/// some that careless clients leave as they are in a query.
fn is_target(target: &[u8]) -> bool {
    let plain =
        |octet: &u8| octet.is_ascii_graphic() && !matches!(octet, b'#' | b'<' | b'>' | b'"' | b'\\' | b'^' | b'`');
    match target {
        [] => false,
        [b'/', rest @ ..] => rest.iter().all(plain),
        // Absolute-form or asterisk-form. What follows a scheme is judged by the one who will read it.
        other => other.iter().all(plain) && Uri::try_from(other).is_ok(),
    }
}

fn is_text(octet: u8) -> bool {
    CLASS[usize::from(octet)] & 2 != 0
}

/// Returns name and value of a field line. A line that begins with white space continues the one before it for some
/// readers, and white space before the colon is part of the name for others: both are no tokens.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|octet| !is_token(*octet))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    // Without early exit, so that it is done many octets at a time.
    let plain = value
        .iter()
        .fold(true, |plain, octet| plain & (*octet >= b' ') & (*octet != 0x7f));
    let well_formed = line[colon] == b':' && !name.is_empty() && (plain || value.iter().all(|octet| is_text(*octet)));
    well_formed.then(|| (name, value.trim_ascii()))
}

/// Reads digits and nothing else, at most as many as never overflow.
fn decimal(digits: &[u8]) -> Option<u64> {
    let sound = (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    sound.then(|| {
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
    })
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Returns how many octets belong to a body with so many left, and how many are left behind them.
fn take(left: u64, octets: &[u8]) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(octets.len());
    (taken, left - taken as u64)
}

fn in_body() -> Violation {
    Violation {
        reason: Reason::RequestAmbiguous,
        request: None,
        in_head: false,
    }
}

/// Returns the method that a head begins with, for the log and for the form of the answer.
fn method_of(octets: &[u8]) -> Option<String> {
    let end = octets
        .iter()
        .take(REQUEST_LINE_MARGIN)
        .position(|octet| *octet == b' ')?;
    let method = octets[..end]
        .iter()
        .all(u8::is_ascii_uppercase)
        .then_some(&octets[..end])?;
    (end > 0).then(|| String::from_utf8_lossy(method).into_owned())
}
