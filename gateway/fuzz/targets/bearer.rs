//! Bearer: what is taken for a token, and for a secret.
//!
//! Of all octets only those of the one shape pass, and a secret whose check sum is right passes as what it is and no longer
//! when any octet of it is another.

#![no_main]

use feed::token::{Digest, Kind, SECRET_BYTES, Secret};
use gateway::fuzzing::bearer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let scheme = octets.get(..7).map(<[u8]>::to_ascii_lowercase);
    let expected = (scheme.as_deref() == Some(b"bearer ")).then(|| &octets[7..]);
    assert_eq!(bearer(octets), expected);
    for text in [octets, expected.unwrap_or_default()] {
        assert_shape(text);
    }
    // The fuzzer will not guess a check sum.
    if let Some(body) = octets.get(..SECRET_BYTES - CHECK_DIGITS) {
        assert_shape(&[body, &check_digits(body)].concat());
    }
    if let Some((random, change)) = octets.split_first_chunk::<32>() {
        assert_no_other_passes(*random, change);
    }
});

const CHECK_DIGITS: usize = 6;

fn assert_shape(text: &[u8]) {
    for (kind, prefix) in [(Kind::Token, b"pstn_"), (Kind::GatewayCredential, b"pstg_")] {
        let shaped = text.len() == SECRET_BYTES
            && text.starts_with(prefix)
            && text[5..].iter().all(u8::is_ascii_alphanumeric)
            && text[SECRET_BYTES - CHECK_DIGITS..] == check_digits(&text[..SECRET_BYTES - CHECK_DIGITS]);
        assert_eq!(Digest::of_presented(kind, text).is_ok(), shaped);
    }
}

fn assert_no_other_passes(random: [u8; 32], change: &[u8]) {
    let secret = Secret::from_random(Kind::Token, random);
    let text = secret.reveal().as_bytes();
    assert_eq!(Digest::of_presented(Kind::Token, text), Ok(secret.digest()));
    assert!(Digest::of_presented(Kind::GatewayCredential, text).is_err());
    assert_eq!(bearer(&[b"Bearer ", text].concat()), Some(text));
    if let [place, octet, ..] = change {
        let mut changed = text.to_vec();
        let place = usize::from(*place) % changed.len();
        changed[place] = *octet;
        let same = changed == text;
        assert_eq!(Digest::of_presented(Kind::Token, &changed).is_ok(), same);
        changed.truncate(place);
        assert!(Digest::of_presented(Kind::Token, &changed).is_err());
    }
}

/// CRC-32 of ISO 3309, bit by bit, in base 62.
fn check_digits(body: &[u8]) -> [u8; CHECK_DIGITS] {
    let mut register = u32::MAX;
    for octet in body {
        register ^= u32::from(*octet);
        for _ in 0..8 {
            register = register >> 1 ^ if register & 1 == 1 { 0xedb8_8320 } else { 0 };
        }
    }
    let mut rest = !register;
    let mut digits = [0; CHECK_DIGITS];
    for digit in digits.iter_mut().rev() {
        let value = u8::try_from(rest % 62).unwrap_or_default();
        *digit = match value {
            0..10 => b'0' + value,
            10..36 => b'A' + value - 10,
            _ => b'a' + value - 36,
        };
        rest /= 62;
    }
    digits
}
