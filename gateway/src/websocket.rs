//! Frames of WebSocket, as far as a gateway needs them: where one ends, and the one that says goodbye (RFC 6455 §5).
//!
//! Nothing is checked and nothing is kept of what frames carry.

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    header: [u8; HEADER_BYTES_MAX],
    /// Octets of the header that have passed.
    passed: usize,
    /// Octets of the payload that are still to pass.
    left: u64,
    closed: bool,
}

impl Frames {
    /// Takes note of octets that have passed.
    pub(crate) fn pass(&mut self, mut octets: &[u8]) {
        while let Some((first, rest)) = octets.split_first() {
            if self.left > 0 {
                let part = usize::try_from(self.left).unwrap_or(usize::MAX).min(octets.len());
                self.left -= part as u64;
                octets = &octets[part..];
                continue;
            }
            self.header[self.passed] = *first;
            self.passed += 1;
            octets = rest;
            if let Some(payload) = payload_bytes(&self.header[..self.passed]) {
                self.closed |= self.header[0] & OPCODE == CLOSE;
                self.left = payload;
                self.passed = 0;
            }
        }
    }

    /// Whether a Close frame may be put in here: between two frames, and not behind another Close.
    pub(crate) fn may_close(&self) -> bool {
        self.passed == 0 && self.left == 0 && !self.closed
    }
}

/// Returns a Close frame. What a client sends is masked (§5.3).
pub(crate) fn close(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(REASON_BYTES_MAX)];
    let payload = code.to_be_bytes().into_iter().chain(reason.iter().copied());
    let masked = if mask.is_some() { MASKED } else { 0 };
    // At most 125, so one octet holds it.
    let mut frame = vec![FINAL | CLOSE, masked | (2 + reason.len()) as u8];
    frame.extend(mask.iter().flatten());
    let mask = mask.unwrap_or_default();
    frame.extend(payload.zip(mask.iter().cycle()).map(|(octet, mask)| octet ^ mask));
    frame
}

/// Policy violation, §7.4.1.
pub(crate) const POLICY_VIOLATION: u16 = 1008;

/// Going away, §7.4.1.
pub(crate) const GOING_AWAY: u16 = 1001;

/// Two octets, eight of an extended length, four of the mask.
const HEADER_BYTES_MAX: usize = 14;

/// What a control frame of 125 octets has room for behind the code, §5.5.
const REASON_BYTES_MAX: usize = 123;

const FINAL: u8 = 0x80;
const OPCODE: u8 = 0x0f;
const CLOSE: u8 = 0x08;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;

/// Returns the length of the payload when the header is whole.
fn payload_bytes(header: &[u8]) -> Option<u64> {
    let second = header.get(1)?;
    let extended = match second & LENGTH {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mask = if second & MASKED == 0 { 0 } else { 4 };
    if header.len() < 2 + extended + mask {
        return None;
    }
    let length = header[2..2 + extended].iter();
    Some(match extended {
        0 => u64::from(second & LENGTH),
        _ => length.fold(0, |length, octet| length << 8 | u64::from(*octet)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, length: usize, masked: bool) -> Vec<u8> {
        let mask_bit = if masked { MASKED } else { 0 };
        let mut frame = vec![first];
        match length {
            0..126 => frame.push(mask_bit | length as u8),
            126..65536 => {
                frame.push(mask_bit | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask_bit | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.extend(vec![0x88; length]);
        frame
    }

    #[test]
    fn frames_end_where_they_end_however_the_octets_arrive() {
        for masked in [false, true] {
            for length in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
                let one = frame(0x82, length, masked);
                for size in [1, 2, 3, 7, 8192, one.len()] {
                    let mut frames = Frames::default();
                    let mut passed = 0;
                    for part in [one.as_slice(), &one].concat().chunks(size) {
                        frames.pass(part);
                        passed += part.len();
                        let between = passed % one.len() == 0;
                        assert_eq!(
                            frames.may_close(),
                            between,
                            "{length} in parts of {size}, {passed} passed"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_follows_a_close() {
        for mask in [None, Some([9, 8, 7, 6])] {
            let mut frames = Frames::default();
            assert!(frames.may_close());
            frames.pass(&close(GOING_AWAY, "a reason", mask));
            assert!(!frames.may_close());
            assert_eq!((frames.left, frames.passed), (0, 0));
        }
    }

    #[test]
    fn a_close_has_code_and_reason_and_fits_a_control_frame() {
        assert_eq!(close(1008, "no", None), [0x88, 4, 0x03, 0xf0, b'n', b'o']);
        let masked = close(1008, "no", Some([1, 2, 3, 4]));
        assert_eq!(masked, [0x88, 0x84, 1, 2, 3, 4, 0x02, 0xf2, b'n' ^ 3, b'o' ^ 4]);
        assert_eq!(close(1001, &"x".repeat(300), None).len(), 2 + 125);
    }
}
