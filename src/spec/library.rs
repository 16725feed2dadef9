//! Playbooks with everything that they name, each file read once: from `DIR/NAME.yaml`, `DIR/stacks/`, `DIR/policies/` and `DIR/../images/`;
//! and the definitions of ramdisks. Reads those files and nothing else; never opens an artifact unless asked to hash it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::artifact::{self, Named, Place, tidy};
use super::code;
use super::decode::Spanned;
use super::diagnostic::{Diagnostic, Diagnostics, quote};
use super::playbook::{self, Written};
use super::policy::Foreign;
use super::source::{ReadError, Span};
use super::unit::{Day, FileName};
use super::{image, lock, policy, ramdisk, rootfs, stack, yaml};
use crate::model::{
    AcceleratorKind, Artifact, Baseline, Digest, DiskContent, DiskInstall, Image, Installable, Playbook, Policy, Ramdisk,
    RamdiskLock, Rootfs, Stack,
};

/// A playbook that was read without a mistake.
#[derive(Debug)]
pub struct LoadedPlaybook {
    /// The playbook.
    pub playbook: Playbook,
    /// The accelerator family that each policy is for, by policy name.
    pub applies: BTreeMap<String, AcceleratorKind>,
    /// What is worth knowing and refuses nothing; also holds the texts that were read.
    pub warnings: Diagnostics,
    pub(super) artifacts: Vec<Named>,
    pub(super) foreign: Foreign,
    pub(super) listed: Listed,
}

/// Where a playbook lists its stacks and policies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub stacks: Option<Span>,
    pub policies: Option<Span>,
}

/// Reads one playbook and all that it names.
///
/// `file` is the playbook; `today` is the day as `YYYY-MM-DD` (UTC), for expired tolerances.
///
/// # Errors
/// All mistakes in all of its files at once.
pub fn load_playbook(file: &Path, today: &str) -> Result<LoadedPlaybook, Diagnostics> {
    let mut library = Library::new(file.parent().unwrap_or(Path::new("")), today);
    let found = library.playbook(file);
    let Library { out, artifacts, foreign, .. } = library;
    match found {
        Some((playbook, applies, listed)) if !out.refused() => {
            Ok(LoadedPlaybook { playbook, applies, warnings: out, artifacts, foreign, listed })
        }
        _ => Err(out),
    }
}

impl LoadedPlaybook {
    /// Hashes every artifact that the playbook names and reports those that are missing or differ. Reads gigabytes; `plan` calls it.
    #[must_use]
    pub fn check_artifacts(&self) -> Diagnostics {
        let mut out = Diagnostics::new();
        out.sources = self.warnings.sources.clone();
        let mut seen: BTreeSet<(&Artifact, Option<&DiskContent>)> = BTreeSet::new();
        for named in &self.artifacts {
            if !seen.insert((&named.artifact, named.disk.as_ref())) {
                continue;
            }
            let disk = |()| named.disk.as_ref().map_or(Ok(()), artifact::check_disk);
            if let Err(e) = artifact::check(&named.artifact).and_then(disk) {
                out.push(artifact::mistake(named, &e));
            }
        }
        out
    }
}

/// A definition that was read without a mistake.
#[derive(Debug)]
pub struct LoadedDefinition {
    /// The definition.
    pub definition: Definition,
    /// Its lock; `None` when there is none yet, or when it was not asked for.
    pub lock: Option<RamdiskLock>,
    /// What is worth knowing and refuses nothing; also holds the texts that were read.
    pub warnings: Diagnostics,
}

/// What `images/definitions/NAME.yaml` defines, by its `apiVersion`.
#[derive(Debug)]
pub enum Definition {
    /// `ramdisk/v1`
    Ramdisk(Ramdisk),
    /// `rootfs/v1`
    Rootfs(Rootfs),
}

/// Reads a definition, its lock when asked to, and hashes the files that it names.
///
/// # Errors
/// All mistakes at once.
pub fn load_definition(file: &Path, with_lock: bool) -> Result<LoadedDefinition, Diagnostics> {
    // No playbook is read, and nothing in these files ends on a day.
    let mut library = Library::new(file.parent().unwrap_or(Path::new("")), "2026-01-01");
    let found = library.read_definition(file, with_lock);
    let named = std::mem::take(&mut library.artifacts);
    for named in &named {
        if let Err(e) = artifact::check(&named.artifact) {
            library.out.push(artifact::mistake(named, &e));
        }
    }
    match found {
        Some((definition, lock)) if !library.out.refused() => Ok(LoadedDefinition { definition, lock, warnings: library.out }),
        _ => Err(library.out),
    }
}

/// What one file held: `None` after a mistake, which is noted.
type Shelf<T> = BTreeMap<PathBuf, Option<T>>;

/// The files around playbooks, each read once.
pub(super) struct Library {
    folder: PathBuf,
    images: PathBuf,
    today: Day,
    pub out: Diagnostics,
    pub artifacts: Vec<Named>,
    pub foreign: Foreign,
    image_shelf: Shelf<Installable>,
    stack_shelf: Shelf<Stack>,
    policy_shelf: Shelf<(Policy, AcceleratorKind)>,
}

type Whole = (Playbook, BTreeMap<String, AcceleratorKind>, Listed);

impl Library {
    /// A library around the folder that holds playbooks.
    pub fn new(folder: &Path, today: &str) -> Self {
        let mut out = Diagnostics::new();
        let day = today.parse().unwrap_or_else(|why| {
            out.push(Diagnostic::error(code::BAD_VALUE, format!("`{}` is not today: {why}", quote(today))));
            Day(jiff::civil::Date::MIN)
        });
        Self {
            folder: folder.to_owned(),
            images: tidy(&folder.join("../images")),
            today: day,
            out,
            artifacts: Vec::new(),
            foreign: Foreign::default(),
            image_shelf: Shelf::new(),
            stack_shelf: Shelf::new(),
            policy_shelf: Shelf::new(),
        }
    }

    /// One playbook with all that it names; `None` when anything of it is missing.
    pub fn playbook(&mut self, file: &Path) -> Option<Whole> {
        let name = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let tree = self.parse(file, None)?;
        if let Err(why) = name.parse::<FileName>() {
            self.out.push(Diagnostic::error(
                code::BAD_PATH,
                format!("the file name `{}` is no name for a playbook: {why}", quote(&name)),
            ));
        }
        let written = playbook::read(&tree, &mut self.out)?;
        let Written { image, install, stack, boot_deadline_s, stacks, policies, rollout } = written;
        let listed = Listed { stacks: stacks.first().map(|s| s.span), policies: policies.first().map(|p| p.span) };
        let mut inputs = BTreeMap::new();
        self.note(file, file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(), &mut inputs);

        let wanted = image.is_some();
        let image = image.and_then(|name| self.image(&name));
        let installed = install.is_some();
        let install = install.and_then(|written| self.install(written));
        let mut stack_map = BTreeMap::new();
        for name in &stacks {
            stack_map.extend(self.stack(name).map(|s| (name.value.0.clone(), s)));
            self.note(&self.path("stacks", &name.value), format!("stacks/{}.yaml", name.value.0), &mut inputs);
        }
        let (mut policy_map, mut applies) = (BTreeMap::new(), BTreeMap::new());
        for name in &policies {
            if let Some((policy, kind)) = self.policy(name) {
                policy_map.insert(name.value.0.clone(), policy);
                applies.insert(name.value.0.clone(), kind);
            }
            self.note(&self.path("policies", &name.value), format!("policies/{}.yaml", name.value.0), &mut inputs);
        }
        for name in image.iter().map(|i| i.name.as_str()).chain(install.as_ref().map(|i| i.image.name())) {
            self.note(&self.path("../images", &FileName(name.to_owned())), format!("../images/{name}.yaml"), &mut inputs);
        }
        if wanted && image.is_none()
            || installed && install.is_none()
            || stack_map.len() < stacks.len()
            || policy_map.len() < policies.len()
        {
            return None;
        }
        let baseline = Baseline { image, install, stack: stack.map(|s| s.value.0), boot_deadline_s };
        Some((Playbook { name, baseline, stacks: stack_map, policies: policy_map, rollout: rollout?, inputs }, applies, listed))
    }

    fn path(&self, folder: &str, name: &FileName) -> PathBuf {
        tidy(&self.folder.join(folder).join(format!("{}.yaml", name.0)))
    }

    /// Records the digest of a file that was read.
    fn note(&self, path: &Path, written: String, inputs: &mut BTreeMap<String, Digest>) {
        if let Some(digest) = self.out.sources.digests().remove(&path.display().to_string()) {
            inputs.insert(written, digest);
        }
    }

    /// The image that is netbooted.
    fn image(&mut self, name: &Spanned<FileName>) -> Option<Image> {
        match self.any_image(name)? {
            Installable::System(image) => Some(image),
            Installable::Disk(_) => {
                let message =
                    format!("baseline.image: the image `{}` is a whole disk, which nothing boots over the network", name.value.0);
                let d = Diagnostic::error(code::UNRESOLVED, message).at(name.span);
                self.out.push(d.hint("name it under `baseline.install`, and here the image that writes it: `bringup`"));
                None
            }
        }
    }

    fn any_image(&mut self, name: &Spanned<FileName>) -> Option<Installable> {
        let path = self.images.join(format!("{}.yaml", name.value.0));
        self.read_image(&path, &name.value.0, Some((name, "image")))
    }

    /// The image that goes on a disk: a whole disk, or one with a root file system.
    fn install(&mut self, written: super::install::Written) -> Option<DiskInstall> {
        let image = self.any_image(&written.image)?;
        if matches!(&image, Installable::System(system) if system.root.is_none()) {
            let message =
                format!("baseline.install: the image `{}` has no `root`, so there is nothing to write to a disk", image.name());
            self.out.push(Diagnostic::error(code::UNRESOLVED, message).at(written.image.span));
            return None;
        }
        Some(DiskInstall { image, disk: written.disk, wipe: written.wipe, deadline_s: written.deadline_s })
    }

    /// Reads an image once; `by` is the place that names it, if any.
    pub fn read_image(&mut self, path: &Path, name: &str, by: NamedBy<'_>) -> Option<Installable> {
        if let Some(known) = self.image_shelf.get(path) {
            return known.clone();
        }
        let tree = self.parse(path, by);
        let at = Place { folder: path.parent().unwrap_or(Path::new("")), levels: None };
        let found = tree.and_then(|t| image::read(&t, name, at, &mut self.artifacts, &mut self.out));
        self.image_shelf.insert(path.to_owned(), found.clone());
        found
    }

    /// Reads a definition and, when wanted and there, its lock.
    pub fn read_definition(&mut self, path: &Path, with_lock: bool) -> Option<(Definition, Option<RamdiskLock>)> {
        let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let tree = self.parse(path, None)?;
        if let Err(why) = name.parse::<FileName>() {
            let message = format!("the file name `{}` is no name for an image: {why}", quote(&name));
            self.out.push(Diagnostic::error(code::BAD_PATH, message));
        }
        // Two folders up from images/definitions/ is the project.
        let at = Place { folder: path.parent().unwrap_or(Path::new("")), levels: Some(2) };
        let definition = if rootfs::is_one(&tree) {
            Definition::Rootfs(rootfs::read(&tree, &name, at, &mut self.artifacts, &mut self.out)?)
        } else {
            Definition::Ramdisk(ramdisk::read(&tree, &name, at, &mut self.artifacts, &mut self.out)?)
        };
        let beside = path.with_extension("lock");
        if !with_lock || !beside.exists() {
            return Some((definition, None));
        }
        let tree = self.parse(&beside, None)?;
        let lock = match &definition {
            Definition::Ramdisk(ramdisk) => lock::read(&tree, ramdisk, &mut self.out)?,
            Definition::Rootfs(rootfs) => lock::read_rootfs(&tree, rootfs, &mut self.out)?,
        };
        Some((definition, Some(lock)))
    }

    fn stack(&mut self, name: &Spanned<FileName>) -> Option<Stack> {
        let path = self.path("stacks", &name.value);
        self.read_stack(&path, &name.value.0, Some((name, "stack")))
    }

    /// Reads a stack once.
    pub fn read_stack(&mut self, path: &Path, name: &str, by: NamedBy<'_>) -> Option<Stack> {
        if let Some(known) = self.stack_shelf.get(path) {
            return known.clone();
        }
        let tree = self.parse(path, by);
        // Two folders up from playbooks/stacks/ is the project.
        let at = Place { folder: path.parent().unwrap_or(Path::new("")), levels: Some(2) };
        let found = tree.and_then(|t| stack::read(&t, name, at, &mut self.artifacts, &mut self.out));
        self.stack_shelf.insert(path.to_owned(), found.clone());
        found
    }

    fn policy(&mut self, name: &Spanned<FileName>) -> Option<(Policy, AcceleratorKind)> {
        let path = self.path("policies", &name.value);
        self.read_policy(&path, &name.value.0, Some((name, "policy")))
    }

    /// Reads a policy once.
    pub fn read_policy(&mut self, path: &Path, name: &str, by: NamedBy<'_>) -> Option<(Policy, AcceleratorKind)> {
        if let Some(known) = self.policy_shelf.get(path) {
            return known.clone();
        }
        let tree = self.parse(path, by);
        let found = tree.and_then(|t| policy::read(&t, name, self.today, &mut self.foreign, &mut self.out));
        self.policy_shelf.insert(path.to_owned(), found.clone());
        found
    }

    /// Names of the stacks and policies that were read, with or without mistakes.
    pub fn names(&self) -> (BTreeSet<String>, BTreeMap<String, Option<AcceleratorKind>>) {
        let stem = |p: &PathBuf| p.file_stem().map(|s| s.to_string_lossy().into_owned());
        let stacks = self.stack_shelf.keys().filter_map(stem).collect();
        let kind = |(p, found): (&PathBuf, &Option<(Policy, AcceleratorKind)>)| Some((stem(p)?, found.as_ref().map(|f| f.1)));
        (stacks, self.policy_shelf.iter().filter_map(kind).collect())
    }

    fn parse(&mut self, path: &Path, by: NamedBy<'_>) -> Option<yaml::Tree> {
        match self.out.sources.read(path) {
            Ok(id) => yaml::parse(id, &mut self.out),
            Err(e) => {
                let d = match (&e, by) {
                    (ReadError::Io(io), Some((name, what))) if io.kind() == std::io::ErrorKind::NotFound => {
                        let message = format!("there is no {what} `{}`", name.value.0);
                        let near = siblings(path);
                        let d = Diagnostic::error(code::UNRESOLVED, message).at(name.span);
                        let d = d.hint(format!("looked for {}", quote(&path.display().to_string())));
                        match super::nearest(&name.value.0, near.iter().map(String::as_str)) {
                            Some(word) => d.suggest(Some(word)),
                            None => d,
                        }
                    }
                    (_, by) => {
                        let cause = std::error::Error::source(&e).map_or(String::new(), |c| format!(": {c}"));
                        let message = format!("{}: {e}{cause}", quote(&path.display().to_string()));
                        let d = Diagnostic::error(code::FILE, message);
                        if let Some((name, _)) = by { d.at(name.span) } else { d }
                    }
                };
                self.out.push(d);
                None
            }
        }
    }
}

/// The word that names a file, and what it should be.
pub(super) type NamedBy<'a> = Option<(&'a Spanned<FileName>, &'static str)>;

/// Names of the YAML files beside a path, for suggestions; at most a thousand.
fn siblings(path: &Path) -> Vec<String> {
    let Some(folder) = path.parent() else { return Vec::new() };
    files(folder, "yaml").into_iter().take(1000).filter_map(|p| Some(p.file_stem()?.to_string_lossy().into_owned())).collect()
}

/// The files of a folder with this extension, in order; none when there is no such folder.
pub(super) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut all: Vec<PathBuf> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == extension) && p.is_file()).collect();
    all.sort();
    all
}
