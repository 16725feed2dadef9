//! The frame around an image in a multipart request: which parts, in which order, byte for byte (RC-52). Pure; the image itself is streamed
//! between the two halves of the frame, so that the length is known before the first byte is sent (RC-11).

use bytes::Bytes;
use zeroize::Zeroizing;

/// A part beside the image.
pub(super) struct Field {
    /// Its name.
    pub(super) name: String,
    /// Its media type; `None`: plain text without one.
    pub(super) kind: Option<&'static str>,
    /// What it holds; may be a session key.
    pub(super) text: Zeroizing<String>,
}

impl Field {
    /// A part that holds JSON.
    pub(super) fn json(name: &str, value: &serde_json::Value) -> Self {
        Self { name: name.to_owned(), kind: Some("application/json"), text: Zeroizing::new(value.to_string()) }
    }
}

/// All parts of a request, in order.
pub(super) struct Parts<'a> {
    /// Those before the image.
    pub(super) before: &'a [Field],
    /// Name of the image's part.
    pub(super) image: &'a str,
    /// File name of the image.
    pub(super) file: &'a str,
    /// Those after it.
    pub(super) after: &'a [Field],
}

/// What goes around the image.
pub(super) struct Frame {
    /// `Content-Type` of the request.
    pub(super) content_type: String,
    /// Bytes before the image.
    pub(super) before: Bytes,
    /// Bytes after it.
    pub(super) after: Bytes,
}

/// A boundary that is in no image: 128 random bits.
pub(super) fn boundary() -> String {
    format!("bringup-{:032x}", rand::random::<u128>())
}

/// Frames an image.
pub(super) fn frame(boundary: &str, parts: &Parts<'_>) -> Frame {
    let mut before = Zeroizing::new(Vec::new());
    for field in parts.before {
        put(&mut before, boundary, field);
    }
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: application/octet-stream\r\n\r\n",
        parts.image,
        file_name(parts.file)
    );
    before.extend_from_slice(head.as_bytes());
    let mut after = Zeroizing::new(b"\r\n".to_vec());
    for field in parts.after {
        put(&mut after, boundary, field);
    }
    after.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Frame {
        content_type: format!("multipart/form-data; boundary={boundary}"),
        before: Bytes::from_owner(before),
        after: Bytes::from_owner(after),
    }
}

fn put(to: &mut Vec<u8>, boundary: &str, field: &Field) {
    to.extend_from_slice(format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"\r\n", field.name).as_bytes());
    if let Some(kind) = field.kind {
        to.extend_from_slice(format!("Content-Type: {kind}\r\n").as_bytes());
    }
    to.extend_from_slice(b"\r\n");
    to.extend_from_slice(field.text.as_bytes());
    to.extend_from_slice(b"\r\n");
}

/// A file name that no BMC can stumble over: its last part only, and of that what is plain. Dell judges by it, and refuses none.
fn file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain: String =
        last.chars().take(128).map(|c| if c.is_ascii_alphanumeric() || "._-+()".contains(c) { c } else { '_' }).collect();
    if plain.is_empty() { "image.bin".to_owned() } else { plain }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_frame_is_exact() {
        let before = [
            Field { name: "sessionKey".into(), kind: None, text: Zeroizing::new("k".into()) },
            Field::json("UpdateParameters", &json!({"Targets": []})),
        ];
        let after = [Field::json("OemParameters", &json!({"FlashType": "HPMFwUpdate"}))];
        let frame = frame("B", &Parts { before: &before, image: "UpdateFile", file: "/a/b c\".bin", after: &after });
        assert_eq!(frame.content_type, "multipart/form-data; boundary=B");
        assert_eq!(
            String::from_utf8_lossy(&frame.before),
            "--B\r\nContent-Disposition: form-data; name=\"sessionKey\"\r\n\r\nk\r\n\
             --B\r\nContent-Disposition: form-data; name=\"UpdateParameters\"\r\nContent-Type: application/json\r\n\r\n{\"Targets\":[]}\r\n\
             --B\r\nContent-Disposition: form-data; name=\"UpdateFile\"; filename=\"b_c_.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        assert_eq!(
            String::from_utf8_lossy(&frame.after),
            "\r\n--B\r\nContent-Disposition: form-data; name=\"OemParameters\"\r\nContent-Type: application/json\r\n\r\n\
             {\"FlashType\":\"HPMFwUpdate\"}\r\n--B--\r\n"
        );
        assert_ne!(boundary(), boundary());
    }

    proptest! {
        #[test]
        fn no_file_name_breaks_the_frame(name in "\\PC{0,200}|[\\x00-\\x7f]{0,40}") {
            let safe = file_name(&name);
            prop_assert!(!safe.is_empty() && safe.len() <= 128);
            prop_assert!(safe.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'/'));
        }
    }
}
