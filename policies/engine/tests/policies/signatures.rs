//! Who vouches for a component.

use engine::signature::{KeyError, SignatureError, Signer, Statement, TrustedKeys};
use feed::PolicyDigest;

fn statement() -> Statement<'static> {
    Statement {
        org: "my-org",
        name: "freeze",
        version: "1.0.0",
        digest: PolicyDigest::of(b"a component"),
    }
}

fn signer(name: &str) -> Signer {
    Signer::from_pem(name, &Signer::generate_pem().unwrap()).unwrap()
}

#[test]
fn a_signature_of_a_trusted_key_counts_for_exactly_what_it_was_made_for() {
    let ci = signer("ci");
    let keys = TrustedKeys::parse(&format!("{}, {}", signer("other").trusted(), ci.trusted())).unwrap();
    let signature = ci.sign(&statement());
    assert_eq!(keys.verify(&statement(), Some(&signature)), Ok(()));
    let others = [
        Statement {
            org: "other-org",
            ..statement()
        },
        Statement {
            name: "freezer",
            ..statement()
        },
        Statement {
            version: "1.0.1",
            ..statement()
        },
        Statement {
            digest: PolicyDigest::of(b"another"),
            ..statement()
        },
    ];
    for other in others {
        assert_eq!(
            keys.verify(&other, Some(&signature)),
            Err(SignatureError::Invalid("ci".to_owned())),
            "{other:?}"
        );
    }
}

#[test]
fn what_is_unsigned_or_signed_by_others_does_not_count_once_keys_are_trusted() {
    let (ci, stranger) = (signer("ci"), signer("stranger"));
    let keys = TrustedKeys::parse(&ci.trusted()).unwrap();
    assert_eq!(keys.verify(&statement(), None), Err(SignatureError::Unsigned));
    let strange = stranger.sign(&statement());
    assert_eq!(
        keys.verify(&statement(), Some(&strange)),
        Err(SignatureError::UnknownKey("stranger".to_owned()))
    );
    let pretended = signer("ci").sign(&statement());
    assert_eq!(
        keys.verify(&statement(), Some(&pretended)),
        Err(SignatureError::Invalid("ci".to_owned()))
    );
    assert_eq!(TrustedKeys::default().verify(&statement(), None), Ok(()));
}

#[test]
fn a_key_that_cannot_be_used_is_told_of() {
    assert!(TrustedKeys::parse("").unwrap().is_empty());
    assert!(matches!(TrustedKeys::parse("ci"), Err(KeyError::Form(_))));
    assert!(matches!(TrustedKeys::parse("ci=$$"), Err(KeyError::Form(_))));
    assert!(matches!(TrustedKeys::parse("ci=AAAA"), Err(KeyError::Length(_))));
    let ci = signer("ci").trusted();
    assert_eq!(
        TrustedKeys::parse(&format!("{ci},{ci}")),
        Err(KeyError::Twice("ci".to_owned()))
    );
    assert!(Signer::from_pem("ci", "no key").is_err());
    assert!(Signer::from_pem("ci", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").is_err());
}
