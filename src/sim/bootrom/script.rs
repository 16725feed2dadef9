//! The subset of iPXE's script language that boot servers use (ipxe.org/scripting, ipxe.org/cmd). Pure: it says what to fetch next and is told
//! how that went. A command that it does not know fails, as on a ROM built without it.

use std::collections::BTreeMap;

/// Lines that a script may run before the ROM gives up: `goto` can loop for ever.
const MOST_STEPS: usize = 2000;
/// Longest line after expansion (iPXE has no such limit; the kernel's command line does).
const LONGEST: usize = 16 * 1024;

/// What the script wants next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Todo {
    /// Load a kernel with these arguments.
    Kernel {
        /// Where from.
        url: String,
        /// Arguments, as written.
        args: String,
    },
    /// Load an initial RAM disk.
    Initrd {
        /// Where from.
        url: String,
    },
    /// Go on with another script.
    Chain {
        /// Where from.
        url: String,
    },
    /// Start the kernel.
    Boot,
    /// Leave; the firmware takes the next boot entry.
    Exit,
    /// The script failed.
    Failed(String),
}

/// A script under way.
#[derive(Debug, Clone)]
pub struct Script {
    lines: Vec<String>,
    at: usize,
    /// Commands of the present line that are still to come, each with what must have been before it.
    rest: Vec<(Joint, Vec<String>)>,
    steps: usize,
    vars: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joint {
    Always,
    IfFailed,
    IfDone,
}

enum Quick {
    Done(bool),
    Ask(Todo),
}

impl Script {
    /// Reads a script; `None` when it does not begin as one.
    #[must_use]
    pub fn read(text: &str, vars: BTreeMap<String, String>) -> Option<Self> {
        let mut lines = text.lines();
        if !lines.next()?.trim_end().starts_with("#!ipxe") {
            return None;
        }
        Some(Self { lines: lines.map(str::to_owned).collect(), at: 0, rest: Vec::new(), steps: 0, vars })
    }

    /// The variables, to hand on to a chained script.
    #[must_use]
    pub fn vars(&self) -> &BTreeMap<String, String> {
        &self.vars
    }

    /// Goes on until something outside is needed. `went_well` tells of the last thing asked for; at the start it does not matter.
    pub fn next(&mut self, went_well: bool) -> Todo {
        let mut good = went_well;
        loop {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Todo::Failed("the script loops".to_owned());
            }
            if self.rest.is_empty() {
                if self.at > 0 && !good {
                    let line: String = self.lines.get(self.at - 1).map(|l| l.chars().take(80).collect()).unwrap_or_default();
                    return Todo::Failed(format!("`{}` failed", line.escape_debug()));
                }
                let Some(line) = self.lines.get(self.at) else { return Todo::Exit };
                self.at += 1;
                good = true;
                match commands(line) {
                    Ok(commands) => self.rest = commands,
                    Err(why) => return Todo::Failed(why),
                }
                self.rest.reverse();
                continue;
            }
            let Some((joint, words)) = self.rest.pop() else { continue };
            let skip = matches!((joint, good), (Joint::IfFailed, true) | (Joint::IfDone, false));
            if skip {
                continue;
            }
            let words: Vec<String> = words.iter().map(|w| self.expand(w)).collect();
            if words.iter().map(String::len).sum::<usize>() > LONGEST {
                return Todo::Failed("a line is too long".to_owned());
            }
            match self.command(&words) {
                Quick::Done(well) => good = well,
                Quick::Ask(todo) => return todo,
            }
        }
    }

    fn command(&mut self, words: &[String]) -> Quick {
        let Some((name, rest)) = words.split_first() else { return Quick::Done(true) };
        let plain = operands(rest);
        let first = plain.first().map(|s| (*s).to_owned());
        match (name.as_str(), first) {
            ("kernel" | "imgselect", Some(url)) => {
                Quick::Ask(Todo::Kernel { url, args: plain.get(1..).unwrap_or_default().join(" ") })
            }
            ("initrd" | "module" | "imgfetch", Some(url)) => Quick::Ask(Todo::Initrd { url }),
            ("chain" | "imgexec", Some(url)) => Quick::Ask(Todo::Chain { url }),
            ("boot", None) => Quick::Ask(Todo::Boot),
            ("exit", _) => Quick::Ask(Todo::Exit),
            ("goto", Some(label)) => {
                let wanted = format!(":{label}");
                match self.lines.iter().position(|l| l.trim() == wanted) {
                    Some(at) => {
                        self.at = at + 1;
                        self.rest.clear();
                        Quick::Done(true)
                    }
                    None => Quick::Done(false),
                }
            }
            ("set", Some(name)) => {
                let value = plain.get(1..).unwrap_or_default().join(" ");
                if self.vars.len() < 256 {
                    self.vars.insert(name, value);
                }
                Quick::Done(true)
            }
            // An unset variable expands to nothing, so that its word is gone or empty.
            ("isset", value) => Quick::Done(value.is_some_and(|v| !v.is_empty())),
            ("iseq", Some(a)) => Quick::Done(plain.get(1).is_some_and(|b| a == **b)),
            ("echo" | "dhcp" | "ifopen" | "ifconf" | "sleep" | "imgfree" | "prompt" | "console" | "clear" | "ntp", _) => {
                Quick::Done(true)
            }
            _ => Quick::Done(false),
        }
    }

    /// `${name}` and `${name:type}` (ipxe.org/cfg).
    fn expand(&self, word: &str) -> String {
        let mut out = String::with_capacity(word.len());
        let mut rest = word;
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((inner, tail)) = after.split_once('}') else {
                out.push_str("${");
                rest = after;
                continue;
            };
            let (name, kind) = inner.split_once(':').unwrap_or((inner, ""));
            let value = self.vars.get(name).map(String::as_str).unwrap_or_default();
            match kind {
                "hexhyp" => out.push_str(&value.replace(':', "-")),
                "hexraw" => out.push_str(&value.replace(':', "")),
                "uristring" => out.push_str(&uri_escape(value)),
                _ => out.push_str(value),
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

/// Everything but unreserved characters as `%XX` (RFC 3986 §2.3).
#[must_use]
pub fn uri_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Words that are not options. Options with a value: `--name N`, `-n N`, `--timeout MS`, `-t MS`.
fn operands(words: &[String]) -> Vec<&str> {
    let mut plain: Vec<&str> = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if !plain.is_empty() || !word.starts_with('-') {
            if !word.is_empty() {
                plain.push(word);
            }
        } else if matches!(word.as_str(), "--name" | "-n" | "--timeout" | "-t") {
            words.next();
        }
    }
    plain
}

/// Splits a line at `||` and `&&`; a comment or a label is no command.
fn commands(line: &str) -> Result<Vec<(Joint, Vec<String>)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') || line.starts_with(':') {
        return Ok(Vec::new());
    }
    if line.len() > LONGEST {
        return Err("a line is too long".to_owned());
    }
    let mut list = Vec::new();
    let mut joint = Joint::Always;
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        let next = match word {
            "||" => Joint::IfFailed,
            "&&" => Joint::IfDone,
            _ => {
                words.push(word.to_owned());
                continue;
            }
        };
        list.push((joint, std::mem::take(&mut words)));
        joint = next;
    }
    list.push((joint, words));
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn script(text: &str) -> Script {
        let vars = [("net0/mac", "52:54:00:aa:bb:cc"), ("serial", "D1"), ("uuid", "u-1")];
        Script::read(text, vars.map(|(k, v)| (k.to_owned(), v.to_owned())).into()).unwrap()
    }

    #[test]
    fn a_usual_script_runs() {
        let mut s = script(
            "#!ipxe\n# hello\nset base http://10.0.0.1/${net0/mac:hexhyp}\nkernel --name k ${base}/k a=${serial} b || goto bad\n\
             initrd ${base}/i\nboot\n:bad\nexit 1\n",
        );
        let url = "http://10.0.0.1/52-54-00-aa-bb-cc/k".to_owned();
        assert_eq!(s.next(true), Todo::Kernel { url, args: "a=D1 b".to_owned() });
        assert_eq!(s.next(true), Todo::Initrd { url: "http://10.0.0.1/52-54-00-aa-bb-cc/i".to_owned() });
        assert_eq!(s.next(true), Todo::Boot);
    }

    #[test]
    fn failure_takes_the_other_way_or_ends() {
        let mut s = script("#!ipxe\nkernel http://x/k || goto bad\nboot\n:bad\nexit 1\n");
        assert!(matches!(s.next(true), Todo::Kernel { .. }));
        assert_eq!(s.next(false), Todo::Exit);
        let mut s = script("#!ipxe\nkernel http://x/k\nboot\n");
        assert!(matches!(s.next(true), Todo::Kernel { .. }));
        assert!(matches!(s.next(false), Todo::Failed(_)));
        assert!(matches!(script("#!ipxe\nnonsense\nboot").next(true), Todo::Failed(_)));
        assert!(matches!(script("#!ipxe\n:a\ngoto a\n").next(true), Todo::Failed(_)));
    }

    #[test]
    fn what_is_not_a_script_is_not_read() {
        assert!(Script::read("<html>", BTreeMap::new()).is_none());
        assert!(Script::read("", BTreeMap::new()).is_none());
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "(\\PC|\n|\\$\\{|\\}|\\|\\||goto a|:a){0,60}", answers in proptest::collection::vec(any::<bool>(), 0..40)) {
            if let Some(mut s) = Script::read(&format!("#!ipxe\n{text}"), BTreeMap::new()) {
                for good in answers {
                    if matches!(s.next(good), Todo::Boot | Todo::Exit | Todo::Failed(_)) {
                        break;
                    }
                }
            }
        }
    }
}
