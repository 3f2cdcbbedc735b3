//! Reads the fields of a `multipart/form-data` body that is in memory. File names and types of parts are not kept.

use serde_json::{Map, Value};

/// Returns the fields as a JSON object of texts. `None` when the body is not what its content type says.
///
/// # Source
/// RFC 7578 §4, RFC 2046 §5.1.1.
pub(super) fn fields(content_type: &str, body: &[u8]) -> Option<Map<String, Value>> {
    let boundary = parameter(content_type, "boundary")?;
    let body = std::str::from_utf8(body).ok()?;
    // The first boundary stands at the very beginning, every other one behind a line end.
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&delimiter[2..])?;
    let mut fields = Map::new();
    while !rest.starts_with("--") {
        let (part, behind) = rest.strip_prefix("\r\n")?.split_once(&delimiter)?;
        let (headers, content) = part.split_once("\r\n\r\n")?;
        fields.insert(name(headers)?, Value::String(content.to_owned()));
        rest = behind;
    }
    Some(fields)
}

fn name(headers: &str) -> Option<String> {
    headers.split("\r\n").find_map(|header| {
        let (field, value) = header.split_once(':')?;
        let is_disposition = field.trim().eq_ignore_ascii_case("content-disposition");
        is_disposition.then(|| parameter(value, "name"))?.map(str::to_owned)
    })
}

fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').skip(1).find_map(|parameter| {
        let (found, value) = parameter.trim().split_once('=')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=----b42";

    #[test]
    fn texts_and_files_become_fields() {
        let body = "------b42\r\nContent-Disposition: form-data; name=\"type\"\r\n\r\nworkload\r\n\
                    ------b42\r\ncontent-disposition: form-data; name=\"spec\"; filename=\"score.yaml\"\r\n\
                    Content-Type: application/octet-stream\r\n\r\na: 1\r\n--b\r\n\r\n------b42--\r\n";
        let expected = json!({"type": "workload", "spec": "a: 1\r\n--b\r\n"});
        assert_eq!(fields(TYPE, body.as_bytes()).map(Value::Object), Some(expected));
    }

    #[test]
    fn a_body_that_is_not_a_form_is_refused() {
        for body in [
            "",
            "{}",
            "------b42\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\ncut off",
            "------b42\r\nContent-Disposition: form-data\r\n\r\nnameless\r\n------b42--",
            "------b42\r\nno blank line\r\n------b42--",
        ] {
            assert_eq!(fields(TYPE, body.as_bytes()), None, "{body:?}");
        }
        assert_eq!(fields("multipart/form-data", b"--\r\n"), None);
    }
}
