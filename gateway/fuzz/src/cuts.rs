//! Octets in pieces, as a network may deliver them.

use gateway::wire::{Limits, Violation, Wire};

/// What came out of a wire.
#[derive(Debug, PartialEq, Eq)]
pub struct Passed {
    /// What was handed on.
    pub octets: Vec<u8>,
    /// First octet and end of each head among them.
    pub heads: Vec<(usize, usize)>,
    /// What ended it.
    pub violation: Option<Violation>,
}

/// Hands octets to a wire in pieces of these lengths, as often as they are looked at. A wish for another protocol is never
/// granted.
pub fn pass(limits: Limits, octets: &[u8], mut lengths: impl FnMut() -> usize) -> Passed {
    let mut wire = Wire::new(limits);
    let mut passed = Passed {
        octets: Vec::new(),
        heads: Vec::new(),
        violation: None,
    };
    let (mut held, mut rest) = (Vec::new(), octets);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(lengths().clamp(1, rest.len()));
        held.extend_from_slice(piece);
        rest = behind;
        loop {
            let (heads, start) = (wire.heads(), passed.octets.len());
            match wire.look(&held) {
                Ok(0) if wire.is_held() => wire.release(),
                Ok(0) => break,
                Ok(more) => passed.octets.extend(held.drain(..more)),
                Err(violation) => {
                    passed.violation = Some(violation);
                    return passed;
                }
            }
            // Heads are handed on whole, so in pieces of one octet one is all that was handed on.
            if wire.heads() == heads + 1 {
                passed.heads.push((start, passed.octets.len()));
            }
        }
    }
    passed
}

/// Returns lengths that a seed chooses: a few octets most often, many at times.
pub fn lengths(seed: u8) -> impl FnMut() -> usize {
    let mut state = u32::from(seed) * 2 + 1;
    move || {
        // George Marsaglia, Xorshift RNGs, 2003.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let length = state as usize % 16;
        if length == 0 { 512 } else { length }
    }
}
