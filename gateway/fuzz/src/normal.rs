//! What readers who tidy up make of a path. A path that has one reading stays as it is, whatever they do.

/// Does what is known to be done to paths before they are compared: encodings of unreserved characters (RFC 3986 §6.2.2.2)
/// and of those that end or turn a path are decoded, backslashes turned, segment parameters cut off (§3.3), empty and dot
/// segments removed (§5.2.4).
pub fn normal(path: &str) -> String {
    let turned = decoded(path, |octet| {
        octet.is_ascii_alphanumeric() || b"-._~\\%".contains(&octet) || octet.is_ascii_control()
    });
    let turned = turned.replace('\\', "/");
    let mut kept: Vec<&str> = Vec::new();
    for segment in turned.split('/').skip(1) {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Decodes the percent encodings of some octets, once. What is no UTF-8 then becomes U+FFFD.
pub fn decoded(text: &str, which: impl Fn(u8) -> bool) -> String {
    let octets = text.as_bytes();
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < octets.len() {
        let pair = octets
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        let octet = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match octet.filter(|octet| octets[at] == b'%' && which(*octet)) {
            Some(octet) => {
                decoded.push(octet);
                at += 3;
            }
            None => {
                decoded.push(octets[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
