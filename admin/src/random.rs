//! Randomness, as a parameter: the operating system's in production, repeatable in simulations.

use std::fmt;
use std::io;
use std::sync::Arc;

use feed::Secret;
use feed::token::Kind;
use rand::TryRng;
use rand::rngs::SysRng;

/// Where random bits come from. Cheap to clone.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

type Fill = dyn Fn(&mut [u8; 32]) -> io::Result<()> + Send + Sync;

impl Random {
    /// Returns the operating system's source.
    pub fn system() -> Self {
        Self::new(|bits| SysRng.try_fill_bytes(bits).map_err(io::Error::other))
    }

    /// Returns a source that fills 256 bits with what the function writes.
    ///
    /// Whoever can foretell its output can foretell every token.
    pub fn new(fill: impl Fn(&mut [u8; 32]) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    pub(crate) fn secret(&self, kind: Kind) -> io::Result<Secret> {
        Ok(Secret::from_random(kind, self.bits()?))
    }

    pub(crate) fn uuid(&self) -> io::Result<uuid::Uuid> {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.bits()?[..16]);
        Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    fn bits(&self) -> io::Result<[u8; 32]> {
        let mut bits = [0; 32];
        (self.0)(&mut bits)?;
        Ok(bits)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random(..)")
    }
}
