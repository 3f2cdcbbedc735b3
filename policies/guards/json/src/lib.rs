//! Reads JSON from front to back: a guard's settings, and bodies of requests.
//!
//! A reader builds no tree. A guard walks the text once, takes what it looks for and skips the rest, because each byte
//! costs fuel and each allocation memory that an instance never gives back. It knows nothing of what a document means;
//! members that come twice are told twice, so that no guard overlooks what a laxer reader would believe.

#![no_std]

extern crate alloc;

use alloc::borrow::Cow;
use alloc::string::String;

/// The text is no JSON, or not of the form that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed;

/// What a value is, before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`.
    Object,
    /// `[…]`.
    Array,
    /// `"…"`.
    String,
    /// A number, `true`, `false` or `null`.
    Scalar,
}

/// A place in a JSON text.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl<'a> Reader<'a> {
    /// Reads a whole text as one value, with what `read` makes of it.
    ///
    /// # Errors
    /// When it is no JSON, `read` fails, or leaves something unread.
    pub fn whole<T>(text: &'a str, read: impl FnOnce(&mut Self) -> Result<T, Malformed>) -> Result<T, Malformed> {
        let mut reader = Self { text, at: 0, depth: 0 };
        let value = read(&mut reader)?;
        reader.blanks();
        if reader.at == text.len() {
            Ok(value)
        } else {
            Err(Malformed)
        }
    }

    /// Returns what the next value is.
    ///
    /// # Errors
    /// When no value begins here.
    pub fn kind(&mut self) -> Result<Kind, Malformed> {
        self.blanks();
        match self.byte()? {
            b'{' => Ok(Kind::Object),
            b'[' => Ok(Kind::Array),
            b'"' => Ok(Kind::String),
            b't' | b'f' | b'n' | b'-' | b'0'..=b'9' => Ok(Kind::Scalar),
            _ => Err(Malformed),
        }
    }

    /// Reads an object; `member` is called with each name, and reads its value.
    ///
    /// # Errors
    /// When there is no object, it is nested too deeply, or `member` fails.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &str) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.list(b'{', b'}', |reader| {
            let name = reader.string()?;
            reader.blanks();
            reader.take(b':')?;
            member(reader, &name)
        })
    }

    /// Reads an array; `element` reads each element.
    ///
    /// # Errors
    /// When there is no array, it is nested too deeply, or `element` fails.
    pub fn array(&mut self, element: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.list(b'[', b']', element)
    }

    /// Reads a string; it is copied only when it has escapes. A surrogate without its other half becomes U+FFFD.
    ///
    /// # Errors
    /// When there is no string.
    pub fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.blanks();
        self.take(b'"')?;
        let start = self.at;
        self.plain();
        let run = &self.text[start..self.at];
        if self.byte()? == b'"' {
            self.at += 1;
            return Ok(Cow::Borrowed(run));
        }
        let mut whole = String::from(run);
        loop {
            match self.byte()? {
                b'"' => {
                    self.at += 1;
                    return Ok(Cow::Owned(whole));
                }
                b'\\' => {
                    self.at += 1;
                    whole.push(self.escaped()?);
                }
                // A control character.
                ..b' ' => return Err(Malformed),
                _ => {
                    let start = self.at;
                    self.plain();
                    whole.push_str(&self.text[start..self.at]);
                }
            }
        }
    }

    /// Reads an array of strings; `each` is called with each of them.
    ///
    /// # Errors
    /// When there is no array, or something else in it.
    pub fn strings(&mut self, mut each: impl FnMut(&str)) -> Result<(), Malformed> {
        self.array(|reader| {
            each(&reader.string()?);
            Ok(())
        })
    }

    /// Reads a value and forgets it.
    ///
    /// # Errors
    /// When there is none, or it is nested too deeply.
    pub fn skip(&mut self) -> Result<(), Malformed> {
        match self.kind()? {
            Kind::Object => self.object(|reader, _| reader.skip()),
            Kind::Array => self.array(Self::skip),
            Kind::String => self.string().map(drop),
            Kind::Scalar => self.scalar().map(drop),
        }
    }

    /// Reads a number, `true`, `false` or `null`, and returns it as it is written.
    ///
    /// # Errors
    /// When there is none.
    pub fn scalar(&mut self) -> Result<&'a str, Malformed> {
        self.blanks();
        let bytes = &self.text.as_bytes()[self.at..];
        let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}') || BLANKS.contains(byte);
        let length = bytes.iter().position(ends).unwrap_or(bytes.len());
        let scalar = &self.text[self.at..self.at + length];
        self.at += length;
        if matches!(scalar, "true" | "false" | "null") || is_number(scalar.as_bytes()) {
            Ok(scalar)
        } else {
            Err(Malformed)
        }
    }

    /// Reads what is between brackets, and the commas.
    fn list(
        &mut self,
        open: u8,
        close: u8,
        mut item: impl FnMut(&mut Self) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.blanks();
        self.take(open)?;
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(Malformed);
        }
        self.blanks();
        if self.byte()? == close {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                self.blanks();
                let byte = self.byte()?;
                self.at += 1;
                match byte {
                    b',' => {}
                    _ if byte == close => break,
                    _ => return Err(Malformed),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Goes to the next quote, backslash or control character, eight bytes at a time while there are none.
    fn plain(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some((eight, _)) = bytes[self.at..].split_first_chunk() {
            let word = u64::from_le_bytes(*eight);
            let control = word.wrapping_sub(EACH * 0x20) & !word;
            let special = zero_bytes(word ^ (EACH * 0x22)) | zero_bytes(word ^ (EACH * 0x5c)) | control;
            if special & (EACH * 0x80) != 0 {
                break;
            }
            self.at += 8;
        }
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
        let rest = &bytes[self.at..];
        self.at += rest.iter().position(special).unwrap_or(rest.len());
    }

    /// Reads an escape after its backslash.
    fn escaped(&mut self) -> Result<char, Malformed> {
        let byte = self.byte()?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.four_digits()?;
                let rest = &self.text.as_bytes()[self.at..];
                if !(0xd800..0xdc00).contains(&first) || !rest.starts_with(b"\\u") {
                    return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
                }
                let back = self.at;
                self.at += 2;
                let second = self.four_digits()?;
                if !(0xdc00..0xe000).contains(&second) {
                    self.at = back;
                    return Ok(char::REPLACEMENT_CHARACTER);
                }
                let both = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return Err(Malformed),
        })
    }

    fn four_digits(&mut self) -> Result<u32, Malformed> {
        let digits = self.text.as_bytes()[self.at..].first_chunk::<4>().ok_or(Malformed)?;
        let mut number = 0;
        for digit in digits {
            number = number * 16 + char::from(*digit).to_digit(16).ok_or(Malformed)?;
        }
        self.at += 4;
        Ok(number)
    }

    fn blanks(&mut self) {
        while self.byte().is_ok_and(|byte| BLANKS.contains(&byte)) {
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Result<(), Malformed> {
        if self.byte()? == wanted {
            self.at += 1;
            Ok(())
        } else {
            Err(Malformed)
        }
    }

    fn byte(&self) -> Result<u8, Malformed> {
        self.text.as_bytes().get(self.at).copied().ok_or(Malformed)
    }
}

/// Returns a word whose byte has its highest bit set at least at the first byte that is zero, and nowhere if none is.
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(EACH) & !word
}

fn is_number(bytes: &[u8]) -> bool {
    let digits = |bytes: &[u8]| bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut rest = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    let Some((b'e' | b'E', exponent)) = rest.split_first() else {
        return rest.is_empty();
    };
    let exponent = match exponent.split_first() {
        Some((b'+' | b'-', digits)) => digits,
        _ => exponent,
    };
    !exponent.is_empty() && digits(exponent) == exponent.len()
}

const BLANKS: [u8; 4] = [b' ', b'\n', b'\r', b'\t'];

/// The same byte eight times over, by multiplication.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Objects and arrays within one another. A guest's stack has 16 KiB; real bodies have fewer than ten.
const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    extern crate std;

    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use super::*;

    fn is_json(text: &str) -> bool {
        Reader::whole(text, Reader::skip).is_ok()
    }

    fn string(text: &str) -> Result<String, Malformed> {
        Reader::whole(text, |reader| reader.string().map(Cow::into_owned))
    }

    #[test]
    fn what_is_json_is_read_and_what_is_not_is_refused() {
        for text in [
            "{}",
            "[]",
            " { \"a\" : [ 1 , -0.5e+3 , true , false , null ] } ",
            "\"\"",
            "0",
            "-1E9",
            "[[[]]]",
            "\"0123456789 and a tail longer than eight bytes ä\"",
        ] {
            assert!(is_json(text), "{text}");
        }
        for text in [
            "",
            "{",
            "}",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
            "01",
            "1.",
            "+1",
            "1e",
            ".5",
            "tru",
            "nul l",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12\"",
            "\"a\nb\"",
            "\"12345678\u{1}\"",
            "1 2",
            "[1 2]",
            "{}x",
            "'a'",
            "[1}",
        ] {
            assert!(!is_json(text), "{text}");
        }
    }

    #[test]
    fn strings_are_what_their_escapes_mean() {
        for (text, wanted) in [
            (r#""plain""#, "plain"),
            (r#""\u0069mage""#, "image"),
            (
                r#""12345678\"12345678\\/\/\b\f\n\r\t""#,
                "12345678\"12345678\\//\u{8}\u{c}\n\r\t",
            ),
            (r#""\ud83d\ude00!""#, "😀!"),
            (r#""\ud83d!""#, "\u{fffd}!"),
            (r#""\ud83da""#, "\u{fffd}a"),
            (r#""\ude00""#, "\u{fffd}"),
            ("\"ä\u{7f}é\"", "ä\u{7f}é"),
        ] {
            assert_eq!(string(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_special_byte_is_found_wherever_it_is_among_others() {
        for other in ['a', ' ', '!', '#', '[', ']', '\u{7f}', 'ü', '\u{a2}'] {
            for before in 0..20 {
                let run: String = core::iter::repeat_n(other, before).collect();
                assert_eq!(string(&format!("\"{run}\"")).as_deref(), Ok(run.as_str()));
                let escaped = format!("\"{run}\\n{run}\"");
                assert_eq!(string(&escaped), Ok(format!("{run}\n{run}")));
                for control in ['\0', '\t', '\u{1f}'] {
                    assert_eq!(string(&format!("\"{run}{control}{run}\"")), Err(Malformed));
                }
            }
        }
    }

    #[test]
    fn members_are_told_in_their_order_and_twice_when_they_come_twice() {
        let mut names = Vec::new();
        let read = Reader::whole(r#"{"a": 1, "b": {"c": []}, "a": "x"}"#, |reader| {
            reader.object(|reader, name| {
                names.push(String::from(name));
                reader.skip()
            })
        });
        assert_eq!(read, Ok(()));
        assert_eq!(names, ["a", "b", "a"]);
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(&nested(DEPTH_MAX)));
        assert!(!is_json(&nested(DEPTH_MAX + 1)));
    }
}
