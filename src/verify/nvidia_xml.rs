//! The XML of `nvidia-smi -q -x` as flat maps, one per GPU. Bounded in depth, number and size; entities are not expanded; nothing is judged here.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::Event;

use super::read::shown;

/// Deepest nesting seen in captures is 7.
const MAX_DEPTH: usize = 16;
/// HGX boards hold 8, the largest systems 16.
const MAX_GPUS: usize = 64;
/// A GPU has about 250 values without its clock table.
const MAX_VALUES: usize = 2048;
/// Longest single value that is kept.
const MAX_TEXT: usize = 1024;
/// Long lists that no check reads.
const SKIP: [&str; 3] = ["supported_clocks", "processes", "accounted_processes"];

/// The values of one element: path below it, such as `ecc_mode/current_ecc`, to text. A path that was said twice with
/// different text reads `[Unknown Error]`.
#[derive(Debug, Default)]
pub(super) struct Values {
    values: BTreeMap<String, String>,
}

impl Values {
    /// The text at a path, trimmed.
    pub(super) fn get(&self, path: &str) -> Option<&str> {
        self.values.get(path).map(String::as_str)
    }

    /// True when any value speaks of a reset that the GPU needs before it says anything.
    pub(super) fn wants_reset(&self) -> bool {
        self.values.values().any(|text| text.to_ascii_lowercase().contains("requires reset"))
    }

    fn put(&mut self, path: String, text: &str) -> Result<(), String> {
        if self.values.len() >= MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values for one GPU"));
        }
        let mut text = text.trim().to_owned();
        if text.len() > MAX_TEXT {
            text = "[too long]".to_owned();
        }
        // The same path twice with different text is not a value that may pass.
        self.values
            .entry(path)
            .and_modify(|old| {
                if *old != text {
                    *old = "[Unknown Error]".to_owned();
                }
            })
            .or_insert(text);
        Ok(())
    }
}

/// The whole log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Values that are not inside a GPU, such as `driver_version`.
    pub(super) top: Values,
    /// GPUs in the order of the log, which is the index order of `nvidia-smi`, with the `id` of each.
    pub(super) gpus: Vec<(String, Values)>,
}

/// Reads the log.
pub(super) fn parse(text: &str) -> Result<Log, String> {
    let mut reader = Reader::from_str(text);
    let mut log = Log::default();
    let mut path: Vec<String> = Vec::new();
    let mut said = String::new();
    let mut leaf = false;
    let mut done = false;
    loop {
        let event =
            reader.read_event().map_err(|e| format!("not XML at byte {}: {}", reader.error_position(), shown(&e.to_string())))?;
        match event {
            Event::Start(tag) => {
                if done || path.len() == MAX_DEPTH {
                    return Err(if done { "more than one root".to_owned() } else { format!("nested deeper than {MAX_DEPTH}") });
                }
                let name = String::from_utf8_lossy(tag.name().as_ref().as_ref()).into_owned();
                match path.len() {
                    0 if name != "nvidia_smi_log" => return Err(format!("the root is `{}`", shown(&name))),
                    1 if name == "gpu" => {
                        if log.gpus.len() == MAX_GPUS {
                            return Err(format!("more than {MAX_GPUS} GPUs"));
                        }
                        log.gpus.push((id(&tag)?, Values::default()));
                    }
                    _ => {}
                }
                path.push(name);
                said.clear();
                leaf = true;
            }
            Event::End(_) => {
                if leaf {
                    store(&mut log, &path, &said)?;
                }
                path.pop();
                leaf = false;
                done = path.is_empty();
            }
            Event::Empty(tag) => {
                if path.is_empty() {
                    return Err("an empty root".to_owned());
                }
                path.push(String::from_utf8_lossy(tag.name().as_ref().as_ref()).into_owned());
                store(&mut log, &path, "")?;
                path.pop();
                leaf = false;
            }
            Event::Text(text) => append(&mut said, &text.xml10_content()),
            Event::CData(text) => append(&mut said, &text.xml10_content()),
            Event::GeneralRef(entity) => append(&mut said, named(&entity.xml10_content())),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    if !done {
        return Err("the log was cut off".to_owned());
    }
    Ok(log)
}

fn append(said: &mut String, more: &str) {
    if said.len() <= MAX_TEXT {
        said.push_str(more);
    }
}

/// The five entities of XML 1.0 §4.6; any other is not expanded.
fn named(entity: &str) -> &'static str {
    match entity {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "apos" => "'",
        "quot" => "\"",
        _ => "\u{fffd}",
    }
}

fn id(tag: &quick_xml::events::BytesStart<'_>) -> Result<String, String> {
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|e| format!("a GPU with an unreadable attribute: {}", shown(&e.to_string())))?;
        let (key, value): (&[u8], &[u8]) = (attribute.key.as_ref().as_ref(), attribute.value.as_ref().as_ref());
        if key == b"id" {
            return Ok(String::from_utf8_lossy(value).into_owned());
        }
    }
    Ok(String::new())
}

fn store(log: &mut Log, path: &[String], text: &str) -> Result<(), String> {
    match path {
        [_, gpu, rest @ ..] if gpu == "gpu" && !rest.is_empty() => {
            if rest.iter().any(|part| SKIP.contains(&part.as_str())) {
                return Ok(());
            }
            match log.gpus.last_mut() {
                Some((_, values)) => values.put(rest.join("/"), text),
                None => Ok(()),
            }
        }
        [_, rest @ ..] if !rest.is_empty() && rest.first().is_some_and(|name| name != "gpu") => log.top.put(rest.join("/"), text),
        _ => Ok(()),
    }
}
