//! Path: any method and path, found in the catalogue or not.
//!
//! An input is a method, a space and a path. What is found has one reading: the path that is sent on is the one that came,
//! it is found again as the same, and nobody who tidies up paths would find anything to do.

#![no_main]

use std::sync::LazyLock;

use catalogue::{Catalogue, Matched, NotIdentified};
use gateway_fuzz::normal::{decoded, normal};
use libfuzzer_sys::fuzz_target;

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::parse(catalogue::OPERATIONS).expect("the shipped table is valid"));

fuzz_target!(|octets: &[u8]| {
    let text = String::from_utf8_lossy(octets);
    let Some((method, path)) = text.split_once(' ') else {
        return;
    };
    match CATALOGUE.identify(method, path) {
        Ok(matched) => assert_one_reading(&matched, method, path),
        Err(NotIdentified::UnknownMethod(allow)) => {
            for other in allow.split(", ") {
                assert_ne!(other, method);
                let matched = CATALOGUE.identify(other, path).expect("it is said to be there");
                assert_one_reading(&matched, other, path);
            }
        }
        Err(NotIdentified::Ambiguous(_) | NotIdentified::UnknownPath) => {}
    }
});

fn assert_one_reading(matched: &Matched<'_>, method: &str, path: &str) {
    assert_eq!(matched.operation.method, method);
    assert_eq!(matched.path(), path);
    let mut pushed = "/prefix".to_owned();
    matched.push_path(&mut pushed);
    assert_eq!(pushed.strip_prefix("/prefix"), Some(path));
    assert_eq!(normal(path), path);
    let again = CATALOGUE.identify(method, path).expect("it was found before");
    assert_eq!(again.operation.id, matched.operation.id);
    assert!(again.raw_parameters().eq(matched.raw_parameters()));

    let template: Vec<&str> = matched.operation.path.split('/').collect();
    let segments: Vec<&str> = path.split('/').collect();
    assert_eq!(template.len(), segments.len());
    let mut parameters = matched.raw_parameters().zip(matched.parameters());
    for (part, segment) in template.iter().zip(&segments) {
        let Some(name) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            assert_eq!(part, segment);
            continue;
        };
        let ((own, raw), (_, value)) = parameters.next().expect("each has a value");
        assert_eq!((own, raw), (name, *segment));
        assert_eq!(value, decoded(segment, |_| true));
        assert!(value.split('/').all(|part| !matches!(part, "" | "." | "..")));
        assert!(!value.contains(|c: char| c == '\\' || c == '%' || c.is_ascii_control()));
    }
    assert!(parameters.next().is_none());
    let values: Vec<&str> = matched.raw_parameters().map(|(_, raw)| raw).collect();
    let made = Matched::from_values(&matched.operation, &values).expect("its own values fit");
    assert_eq!(made.path(), path);
}
