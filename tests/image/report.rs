//! `bringup-report` reads LLDP, which anybody on the wire may send: whatever comes is one line of JSON or nothing.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::Value;

use crate::support::need_program;

const REPORT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/image/inside/report.pl");
/// Reads frames as hexadecimal lines instead of a socket.
const READ: &str =
    "while (my $l = <STDIN>) { chomp $l; my $n = neighbour(pack 'H*', $l); print $n ? neighbour_json($n) : 'null', \"\\n\" }";

/// What the report's own functions make of these frames' fields.
fn neighbours(frames: &[Vec<u8>]) -> Vec<Value> {
    let whole = std::fs::read_to_string(REPORT).unwrap();
    let (functions, _) = whole.split_once("\nif (@ARGV == 1").unwrap();
    let mut perl = Command::new("perl");
    perl.args(["-e", &format!("{functions}\n{READ}")]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = perl.spawn().unwrap();
    let lines: String = frames.iter().map(|frame| frame.iter().map(|b| format!("{b:02x}")).collect::<String>() + "\n").collect();
    // Less than a pipe holds: nobody has to read meanwhile.
    assert!(lines.len() < 65_536);
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stderr));
    let said = String::from_utf8(out.stdout).expect("ASCII");
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    said.lines().map(read).collect()
}

/// A field: 7 bits of kind, 9 of length.
fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let head = u16::from(kind) << 9 | u16::try_from(value.len()).unwrap();
    [&head.to_be_bytes(), value].concat()
}

#[test]
fn a_neighbour_in_full_and_what_no_text_may_hold() {
    if need_program("image::report::a_neighbour_in_full_and_what_no_text_may_hold", "perl").is_none() {
        return;
    }
    let first = [field(1, b"\x04\x02\x00\x00\x00\x00\x01"), field(2, b"\x05Eth1/7"), field(3, &120_u16.to_be_bytes())].concat();
    let rest =
        [field(5, "leaf-\u{d55c}".as_bytes()), field(8, b"\x05\x01\x0a\x00\x00\x01\x02\0\0\0\x01\0"), field(0, b"")].concat();
    // Halves of surrogate pairs and what lies above Unicode's last number, as UTF-8 would write them; a quote and a new line.
    let strange = [first.clone(), field(5, b"a\xed\xa0\x80b\xed\xbf\xbf\xf4\x90\x80\x80\"\n\\")].concat();
    let cut = [first.clone(), vec![0x0a, 0xff, b'x']].concat();
    let turned = [field(2, b"\x05a"), field(1, b"\x04\x02\x00\x00\x00\x00\x01"), field(3, &[0, 1])].concat();
    let got = neighbours(&[[first, rest].concat(), strange, cut, turned, Vec::new()]);
    assert_eq!(
        got[0],
        serde_json::json!({"chassis": "02:00:00:00:00:01", "port": "Eth1/7", "system_name": "leaf-\u{d55c}", "management_address": "10.0.0.1"})
    );
    let name = got[1]["system_name"].as_str().unwrap();
    assert!(name.starts_with('a') && name.contains('b') && name.ends_with("\"\n\\") && name.contains('\u{fffd}'), "{name:?}");
    assert_eq!(got[2..], [Value::Null, Value::Null, Value::Null], "cut short, in another order, empty");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Forty frames a time: bytes, fields with any kind, and the three that must be there with anything after them.
    #[test]
    fn whatever_is_heard_is_json(
        bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 10),
        fields in prop::collection::vec(prop::collection::vec((0_u8..10, prop::collection::vec(any::<u8>(), 0..60)), 0..8), 10),
        after in prop::collection::vec(prop::collection::vec((4_u8..9, "\\PC{0,20}|[\u{0}-\u{20}\"\\\\]{0,9}"), 0..6), 20),
    ) {
        if need_program("image::report::whatever_is_heard_is_json", "perl").is_none() {
            return Ok(());
        }
        let whole = |fields: &[(u8, Vec<u8>)]| fields.iter().flat_map(|(kind, value)| field(*kind, value)).collect::<Vec<u8>>();
        let must = [(1, b"\x07x".to_vec()), (2, b"\x07y".to_vec()), (3, vec![0, 60])];
        let mut frames = bytes;
        frames.extend(fields.iter().map(|fields| whole(fields)));
        for texts in &after {
            let texts = texts.iter().map(|(kind, text)| (*kind, text.as_bytes().to_vec()));
            frames.push(whole(&must.iter().cloned().chain(texts).collect::<Vec<_>>()));
        }
        let got = neighbours(&frames);
        prop_assert_eq!(got.len(), frames.len());
        let known = ["chassis", "port", "port_description", "system_name", "system_description", "management_address"];
        for value in &got {
            let whole = value.as_object().is_none_or(|fields| {
                fields.contains_key("chassis") && fields.contains_key("port")
                    && fields.iter().all(|(key, value)| known.contains(&key.as_str()) && value.is_string())
            });
            prop_assert!(whole && (value.is_object() || value.is_null()), "{}", value);
        }
        prop_assert!(got[20..].iter().all(Value::is_object));
    }
}
