//! Kernel modules: which go in, and the indexes that `modprobe` reads. Debian makes these indexes only when a kernel is installed (`depmod`), and
//! here nothing is; each module says itself what it needs, in its `.modinfo`.

use std::collections::{BTreeMap, BTreeSet};

use super::object;

/// What one module says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Module {
    /// Below `lib/modules/RELEASE/`.
    pub path: String,
    depends: Vec<String>,
    /// Wanted by it beside those, where they exist.
    soft: Vec<String>,
    aliases: Vec<String>,
}

/// All modules of one kernel package.
#[derive(Debug, Default)]
pub(super) struct Modules {
    /// Release of the kernel, such as `6.1.0-41-amd64`.
    pub release: String,
    all: BTreeMap<String, Module>,
    builtin: BTreeSet<String>,
    /// Text of `modules.builtin`.
    pub builtin_list: Vec<u8>,
}

/// Why the modules that were asked for cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModuleError {
    /// No such module.
    #[error("kernel {release} has no module `{name}`{near}")]
    Unknown {
        /// Kernel.
        release: String,
        /// As asked for.
        name: String,
        /// A suggestion, or nothing.
        near: String,
    },
    /// No modules at all, or no kernel.
    #[error("the package {package} holds no {what}")]
    None {
        /// Package.
        package: String,
        /// What was looked for.
        what: &'static str,
    },
    /// Compressed one by one.
    #[error("the kernel's modules are compressed (`{0}`), which this version cannot read")]
    Compressed(String),
}

/// `lib/modules/RELEASE/rest` as release and rest, wherever `lib` lies.
pub(super) fn below_modules(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("usr/").unwrap_or(path).strip_prefix("lib/modules/")?.split_once('/')
}

fn plain(file: &str) -> String {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".ko").unwrap_or(name).replace('-', "_")
}

impl Modules {
    /// Notes one file of the package.
    pub fn note(&mut self, path: &str, bytes: Vec<u8>) -> Result<(), ModuleError> {
        let Some((release, rest)) = below_modules(path) else { return Ok(()) };
        release.clone_into(&mut self.release);
        if rest == "modules.builtin" {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.builtin = text.lines().map(plain).collect();
            self.builtin_list = bytes;
        } else if rest.ends_with(".ko") {
            let mut module = Module { path: rest.to_owned(), ..Module::default() };
            for (key, value) in object::module_notes(&bytes) {
                let words = |split: char| value.split(split).map(|w| w.trim().replace('-', "_")).filter(|w| !w.is_empty());
                match key.as_str() {
                    "depends" => module.depends.extend(words(',')),
                    "softdep" => module.soft.extend(words(' ').filter(|w| !w.ends_with(':'))),
                    // A line of its own in an index: a blank would make it two words.
                    "alias" if !value.contains(char::is_whitespace) => module.aliases.push(value),
                    _ => {}
                }
            }
            self.all.insert(plain(rest), module);
        } else if rest.contains(".ko.") {
            return Err(ModuleError::Compressed(rest.to_owned()));
        }
        Ok(())
    }

    /// True when the kernel has it inside.
    pub fn is_builtin(&self, name: &str) -> bool {
        self.builtin.contains(name)
    }

    /// The wanted modules and all that they need, in an order in which they can be loaded.
    pub fn closure<'w>(&self, wanted: impl Iterator<Item = &'w String>) -> Result<Vec<String>, ModuleError> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in wanted {
            if !self.all.contains_key(name) && !self.is_builtin(name) {
                let known = self.all.keys().chain(&self.builtin).map(String::as_str);
                let near = known.filter(|k| close(k, name)).min_by_key(|k| k.len().abs_diff(name.len()));
                let near = near.map_or(String::new(), |word| format!("; did you mean `{word}`?"));
                return Err(ModuleError::Unknown { release: self.release.clone(), name: name.clone(), near });
            }
            self.visit(name, true, &mut seen, &mut order);
        }
        Ok(order)
    }

    /// Depth first on a stack of its own: a circle of hostile modules ends, as each is entered once.
    fn visit(&self, name: &str, soft: bool, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
        let mut open = vec![(name.to_owned(), false)];
        while let Some((name, left)) = open.pop() {
            let Some(module) = self.all.get(&name) else { continue };
            if left {
                order.push(name);
            } else if seen.insert(name.clone()) {
                open.push((name, true));
                let also = module.soft.iter().filter(|_| soft);
                open.extend(module.depends.iter().chain(also).rev().map(|d| (d.clone(), false)));
            }
        }
    }

    /// One module.
    pub fn get(&self, name: &str) -> Option<&Module> {
        self.all.get(name)
    }

    /// `modules.dep` for these modules: each with all that must be loaded before it, the nearest first, as `depmod` writes it.
    pub fn dep_index(&self, chosen: &[String]) -> String {
        let mut lines = BTreeSet::new();
        for name in chosen {
            let (mut seen, mut order) = (BTreeSet::new(), Vec::new());
            self.visit(name, false, &mut seen, &mut order);
            let mut paths = order.iter().rev().filter_map(|n| self.all.get(n)).map(|m| m.path.as_str());
            if let Some(own) = paths.next() {
                lines.insert(format!("{own}:{}\n", paths.map(|p| format!(" {p}")).collect::<String>()));
            }
        }
        lines.into_iter().collect()
    }

    /// `modules.alias` for these modules.
    pub fn alias_index(&self, chosen: &[String]) -> String {
        let mut text = String::new();
        for name in chosen.iter().collect::<BTreeSet<_>>() {
            for alias in self.all.get(name).map(|m| m.aliases.as_slice()).unwrap_or_default() {
                text.push_str(&format!("alias {alias} {name}\n"));
            }
        }
        text
    }
}

/// One begins or ends with the other, or they differ in one sign: what a person could have meant.
fn close(known: &str, name: &str) -> bool {
    let differ = known.bytes().zip(name.bytes()).filter(|(a, b)| a != b).count() + known.len().abs_diff(name.len());
    differ == 1 || (name.len() >= 3 && (known.starts_with(name) || name.starts_with(known) && known.len() >= 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(all: &[(&str, &[&str], &[&str])]) -> Modules {
        let mut modules = Modules { release: "6.1".into(), ..Modules::default() };
        for (name, depends, soft) in all {
            let texts = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
            let (depends, soft) = (texts(depends), texts(soft));
            let module = Module { path: format!("kernel/{name}.ko"), depends, soft, aliases: vec![format!("pci:{name}*")] };
            modules.all.insert((*name).to_owned(), module);
        }
        modules
    }

    #[test]
    fn what_a_module_needs_comes_before_it() {
        let modules = modules(&[
            ("net", &["failover", "core"], &[]),
            ("failover", &["core"], &[]),
            ("core", &[], &["crc", "nowhere"]),
            ("crc", &[], &[]),
            ("other", &[], &[]),
        ]);
        let wanted = ["net".to_owned()];
        let order = modules.closure(wanted.iter()).unwrap();
        assert_eq!(order, ["crc", "core", "failover", "net"]);
        let dep = modules.dep_index(&order);
        assert!(dep.contains("kernel/net.ko: kernel/failover.ko kernel/core.ko\n"), "{dep}");
        assert!(dep.contains("kernel/core.ko:\n"), "{dep}");
        assert_eq!(modules.alias_index(&wanted), "alias pci:net* net\n");
    }

    #[test]
    fn circles_end_and_strangers_are_told() {
        let modules = modules(&[("a", &["b"], &[]), ("b", &["a"], &[]), ("e1000e", &[], &[])]);
        assert_eq!(modules.closure(["a".to_owned()].iter()).unwrap(), ["b", "a"]);
        let told = modules.closure(["e1000".to_owned()].iter()).unwrap_err().to_string();
        assert_eq!(told, "kernel 6.1 has no module `e1000`; did you mean `e1000e`?");
        let told = modules.closure(["zzz".to_owned()].iter()).unwrap_err().to_string();
        assert_eq!(told, "kernel 6.1 has no module `zzz`");
    }

    #[test]
    fn paths_of_both_layouts_are_known_and_compressed_modules_refused() {
        assert_eq!(below_modules("lib/modules/6.1/kernel/a.ko"), Some(("6.1", "kernel/a.ko")));
        assert_eq!(below_modules("usr/lib/modules/6.1/kernel/a.ko"), Some(("6.1", "kernel/a.ko")));
        assert_eq!(below_modules("boot/vmlinuz-6.1"), None);
        let told = Modules::default().note("lib/modules/6.1/kernel/a.ko.xz", Vec::new()).unwrap_err().to_string();
        assert!(told.contains("compressed"), "{told}");
        let mut modules = Modules::default();
        modules.note("lib/modules/6.1/modules.builtin", b"kernel/fs/ext4/ext-4.ko\n".to_vec()).unwrap();
        assert!(modules.is_builtin("ext_4") && modules.closure(["ext_4".to_owned()].iter()).unwrap().is_empty());
    }
}
