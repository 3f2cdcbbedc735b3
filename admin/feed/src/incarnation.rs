//! Incarnations: which store, and which life of it. A backup that is restored begins another life of the store.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// What a store is called in the feed: `ID.INCARNATION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreName {
    /// Identity of the store, for all its lives.
    pub id: String,
    /// The revision that this life began with; each life's is greater than all before it.
    pub incarnation: u64,
}

/// A text that names no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a store")]
pub struct NoStoreName;

/// Compares the lives of one store that two names tell. `None`: they are of different stores, or a name is not of this form.
pub fn compare(one: &str, other: &str) -> Option<Ordering> {
    if one == other {
        return Some(Ordering::Equal);
    }
    let (one, other) = (one.parse::<StoreName>().ok()?, other.parse::<StoreName>().ok()?);
    (one.id == other.id).then(|| one.incarnation.cmp(&other.incarnation))
}

impl fmt::Display for StoreName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.id, self.incarnation)
    }
}

impl FromStr for StoreName {
    type Err = NoStoreName;

    fn from_str(text: &str) -> Result<Self, NoStoreName> {
        let (id, incarnation) = text.split_once('.').ok_or(NoStoreName)?;
        let canonical = incarnation.bytes().all(|digit| digit.is_ascii_digit());
        if id.is_empty() || !canonical {
            return Err(NoStoreName);
        }
        Ok(Self {
            id: id.to_owned(),
            incarnation: incarnation.parse().map_err(|_malformed| NoStoreName)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_of_one_store_are_in_order_and_those_of_two_are_not_compared() {
        for (one, other, expected) in [
            ("a.7", "a.7", Some(Ordering::Equal)),
            ("a.8", "a.7", Some(Ordering::Greater)),
            ("a.9", "a.10", Some(Ordering::Less)),
            ("b.8", "a.7", None),
            ("unnumbered", "unnumbered", Some(Ordering::Equal)),
            ("a.8", "a", None),
            ("a", "a.8", None),
        ] {
            assert_eq!(compare(one, other), expected, "{one} and {other}");
        }
        assert_eq!("a.7".parse::<StoreName>().expect("a name").to_string(), "a.7");
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["", "a", ".1", "a.", "a.+1", "a.1.2", "a.99999999999999999999"] {
            assert_eq!(text.parse::<StoreName>(), Err(NoStoreName), "{text}");
        }
    }
}
