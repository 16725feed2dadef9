//! From a request to what is sent back, without a socket: every rule of the boot server can be tried here. It blocks on the store and
//! on nothing else: a file whose digest is not known yet is left to be read by the caller.

use std::fs::File;
use std::net::IpAddr;

use super::artifact::{Artifacts, Opened, Stamp};
use super::fetch::{By, Refusal, Script};
use super::grant::{GrantSpec, Stage, Token};
use super::loaders::Loaders;
use super::media::{self, Medium, MediumError};
use super::range::{Part, part};
use super::route::{Ask, Loader, NotUnderstood, Which, route};
use super::server::{Health, Seen};
use super::store::{BootError, Store};
use super::tls::Door;
use super::told::Word;
use super::{fetch, script};
use crate::model::Artifact;

/// A request, read off the wire.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) host: Option<String>,
    pub(super) range: Option<String>,
    pub(super) if_range: Option<String>,
    pub(super) from: IpAddr,
    /// It came over TLS.
    pub(super) secure: bool,
    /// Where identities are handed out.
    pub(super) door: Option<Door>,
}

/// What may be done with an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    /// Only to tell something.
    Post,
    Other,
}

/// What is sent back. For `Head` the body is left out, its length is told.
pub(super) enum Reply {
    Text {
        status: u16,
        kind: &'static str,
        text: String,
        seen: Option<Seen>,
    },
    File(Box<Sending>),
    /// A boot medium, or a range of it.
    Medium(Box<SendingMedium>),
    /// The server itself, to which the listener adds how it goes.
    Health(Health),
    /// The file must be read and hashed first; then the same question is asked again.
    NotYet(Box<Artifact>),
    /// The same for all that the medium of this grant is made of.
    MediumNotYet(Box<GrantSpec>),
    /// 416.
    OutsideRange {
        length: u64,
    },
}

/// A file on its way.
pub(super) struct Sending {
    pub(super) file: File,
    /// Of the whole file.
    pub(super) length: u64,
    /// Where to begin, and how much; `None` for the whole.
    pub(super) slice: Option<(u64, u64)>,
    /// To be compared when all has been read.
    pub(super) stamp: Stamp,
    /// Entity tag: the digest.
    pub(super) tag: Option<String>,
    pub(super) kind: &'static str,
    pub(super) seen: Seen,
}

/// A medium on its way.
pub(super) struct SendingMedium {
    pub(super) medium: Medium,
    /// Where to begin, and how much; `None` for the whole.
    pub(super) slice: Option<(u64, u64)>,
    pub(super) kind: &'static str,
    pub(super) seen: Seen,
}

const SCRIPT: &str = "text/plain; charset=us-ascii";
const PLAIN: &str = "text/plain; charset=utf-8";
const NO_LOADER: &str = "this boot server has no such loader that is pinned; Debian's package `ipxe` holds them";

/// Answers one request.
pub(super) fn answer(request: &Request, store: &Store, loaders: &Loaders, now_ms: i64) -> Reply {
    if request.method == Method::Other {
        return plain(405, "only GET and HEAD are known here");
    }
    let ask = match route(&request.path, request.query.as_deref()) {
        Ok(ask) => ask,
        Err(NotUnderstood::NoSuchPath) => return plain(404, "there is no such thing here"),
        Err(NotUnderstood::Bad(why)) => return plain(400, why),
    };
    if request.method == Method::Post && !matches!(ask, Ask::At(..)) {
        return plain(405, "only GET and HEAD are known here");
    }
    let replied = match &ask {
        Ask::Health => Ok(health(request, store)),
        Ask::Chain => Ok(Reply::Text { status: 200, kind: SCRIPT, text: script::CHAIN.into(), seen: None }),
        Ask::ScriptByMac(claims) => match claims.mac {
            Some(mac) => give_script(request, store, &By::Mac(mac), claims, now_ms),
            None => Ok(plain(400, "`mac=` is missing")),
        },
        Ask::ScriptByToken(token, claims) => give_script(request, store, &By::Token(token.clone()), claims, now_ms),
        Ask::OpenLoader(loader) => Ok(give_open_loader(request, store, loaders, *loader, now_ms)),
        Ask::Loader(token, loader) => give_loader(request, store, token, loaders, *loader, now_ms),
        Ask::At(token, word) => take_word(request, store, token, *word, now_ms),
        Ask::File(token, which) => give_file(request, store, token, *which, now_ms),
        Ask::Medium(token) => give_medium(request, store, token, loaders, now_ms),
        Ask::Identity(token, claims) => give_identity(request, store, token, claims, now_ms),
    };
    replied.unwrap_or_else(|error| {
        // What went wrong is for the operator's log; the machine is told that trying again may help.
        let detail = told(&error);
        let seen = Seen::refused(request.from, None, None, format!("the grants could not be used: {detail}"));
        Reply::Text { status: 503, kind: PLAIN, text: "the boot server cannot use its grants now\n".into(), seen: Some(seen) }
    })
}

fn health(request: &Request, store: &Store) -> Reply {
    let https = request.door.clone();
    Reply::Health(Health { service: "bringup".into(), state: store.store_id().to_owned(), https, storm: None })
}

fn give_script(
    request: &Request,
    store: &Store,
    by: &By,
    claims: &super::route::Claims,
    now_ms: i64,
) -> Result<Reply, BootError> {
    let look = request.method == Method::Head;
    let host = request.host.as_deref();
    // The script of an image with a root needs the address that the node knows us by; asking first keeps the grant unused.
    if script::plain_host(host).is_none() {
        return Ok(plain(400, "a plain `Host` header is needed"));
    }
    let given = match store.script(by, claims, look, request.door.is_some(), request.from, now_ms)? {
        Ok(given) => given,
        Err(Some(refusal)) => return Ok(refused(request, refusal)),
        Err(None) => return Ok(Reply::Text { status: 200, kind: SCRIPT, text: script::NOTHING.into(), seen: None }),
    };
    let door = request.door.as_ref().filter(|_| given.identity);
    let text =
        script::script(&given.spec, given.files.expose(), host, claims.mac, door).unwrap_or_else(|| script::NOTHING.into());
    let length = u64::try_from(text.len()).unwrap_or_default();
    let seen = (!look).then(|| Seen::given(request.from, &given.spec.id, &given.spec.node, Stage::Script, length));
    Ok(Reply::Text { status: 200, kind: SCRIPT, text, seen })
}

fn give_loader(
    request: &Request,
    store: &Store,
    token: &Token,
    loaders: &Loaders,
    loader: Loader,
    now_ms: i64,
) -> Result<Reply, BootError> {
    let look = request.method == Method::Head;
    let spec = match store.loader(token, look, request.from, now_ms)? {
        Ok(spec) => spec,
        Err(refusal) => return Ok(refused(request, refusal)),
    };
    let (opened, tag) = match open_loader(loaders, &store.artifacts, loader) {
        Ok(found) => found,
        Err(why) => {
            let seen = Seen::refused(request.from, Some(spec.id), Some(spec.node), why);
            return Ok(Reply::Text { status: 404, kind: PLAIN, text: format!("{NO_LOADER}\n"), seen: Some(seen) });
        }
    };
    let seen = Seen::given(request.from, &spec.id, &spec.node, Stage::Loader, opened.length);
    Ok(sending(request, opened, Some(tag), "application/efi", seen))
}

/// iPXE itself is no secret and opens nothing: what it asks for next is what a grant must allow.
fn give_open_loader(request: &Request, store: &Store, loaders: &Loaders, loader: Loader, now_ms: i64) -> Reply {
    match open_loader(loaders, &store.artifacts, loader) {
        Ok((opened, tag)) => {
            let seen = Seen::loader(request.from, opened.length);
            if request.method == Method::Get {
                store.saw_loader(request.from, loader.file_name(), now_ms);
            }
            sending(request, opened, Some(tag), "application/efi", seen)
        }
        Err(why) => {
            let seen = Seen::refused(request.from, None, None, why);
            Reply::Text { status: 404, kind: PLAIN, text: format!("{NO_LOADER}\n"), seen: Some(seen) }
        }
    }
}

/// The loader with its digest, as it was pinned when the server started; why there is none is for the operator. The name comes from a closed
/// list, never from the request.
fn open_loader(loaders: &Loaders, artifacts: &Artifacts, loader: Loader) -> Result<(Opened, String), String> {
    let name = loader.file_name();
    let Some(found) = loaders.get(name) else {
        let folder = loaders.folder().display();
        return Err(format!(
            "there was no {name} in {folder} when the server started; Debian's package `ipxe` holds the loaders"
        ));
    };
    match artifacts.open(&found.artifact) {
        Ok(opened) => Ok((opened, found.artifact.sha256.to_string())),
        Err(error) => Err(told(&error)),
    }
}

/// An error and its causes in one line.
fn told(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn give_medium(request: &Request, store: &Store, token: &Token, loaders: &Loaders, now_ms: i64) -> Result<Reply, BootError> {
    let look = request.method == Method::Head;
    // The root file system of an image is not on the medium: the node fetches it from the address that its BMC knows us by.
    let host = request.host.as_deref();
    if script::plain_host(host).is_none() {
        return Ok(plain(400, "a plain `Host` header is needed"));
    }
    let (spec, files, identity) = match store.medium(token, look, request.door.is_some(), request.from, now_ms)? {
        Ok(Script { spec, files, identity }) => (spec, files, identity),
        Err(refusal) => return Ok(refused(request, refusal)),
    };
    let door = request.door.as_ref().filter(|_| identity);
    let arguments = script::arguments(&spec, files.expose(), host, None, door).unwrap_or_default();
    let medium = match media::make(&spec, &arguments, loaders, &store.artifacts, &store.media) {
        Ok(medium) => medium,
        Err(MediumError::Unread) => return Ok(Reply::MediumNotYet(Box::new(spec))),
        Err(error) => {
            let why = "the medium cannot be made";
            let refusal = Refusal { status: 500, why, grant: Some(spec.id), node: Some(spec.node) };
            store.refuse(&refusal, request.from, now_ms)?;
            let seen = Seen::refused(request.from, refusal.grant, refusal.node, format!("{why}: {}", told(&error)));
            return Ok(Reply::Text { status: 500, kind: PLAIN, text: format!("{why}\n"), seen: Some(seen) });
        }
    };
    let seen = Seen::given(request.from, &spec.id, &spec.node, Stage::Medium, medium.length);
    Ok(match slice(request, Some(medium.sha256.as_str()), medium.length) {
        Ok(slice) => Reply::Medium(Box::new(SendingMedium { medium, slice, kind: "application/vnd.efi.iso", seen })),
        Err(Outside) => Reply::OutsideRange { length: medium.length },
    })
}

fn give_file(request: &Request, store: &Store, token: &Token, which: Which, now_ms: i64) -> Result<Reply, BootError> {
    let look = request.method == Method::Head;
    let given = match store.file(token, which, look, request.from, now_ms)? {
        Ok(given) => given,
        Err(refusal) => return Ok(refused(request, refusal)),
    };
    let Some(opened) = store.artifacts.open_known(&given.artifact) else {
        return Ok(Reply::NotYet(Box::new(given.artifact)));
    };
    match opened {
        Ok(opened) => {
            let seen = Seen::given(request.from, &given.grant, &given.node, which.stage(), opened.length);
            Ok(sending(request, opened, Some(given.artifact.sha256.to_string()), "application/octet-stream", seen))
        }
        Err(error) => {
            let why = "the file is not what the grant's digest says, or cannot be read";
            let refusal = fetch::Refusal { status: 500, why, grant: Some(given.grant), node: Some(given.node) };
            store.refuse(&refusal, request.from, now_ms)?;
            let seen = Seen::refused(request.from, refusal.grant, refusal.node, error.to_string());
            Ok(Reply::Text { status: 500, kind: PLAIN, text: format!("{why}\n"), seen: Some(seen) })
        }
    }
}

/// A look would tell whether it is still there and use nothing up; nobody has a need to know.
fn give_identity(
    request: &Request,
    store: &Store,
    token: &Token,
    claims: &super::route::Claims,
    now_ms: i64,
) -> Result<Reply, BootError> {
    if request.method != Method::Get {
        return Ok(plain(405, "an identity can only be fetched"));
    }
    Ok(match store.identity(token, claims, request.secure, request.from, now_ms)? {
        Ok(handed) => {
            let length = u64::try_from(handed.answer.len()).unwrap_or_default();
            let seen = Seen::given(request.from, &handed.spec.id, &handed.spec.node, Stage::Identity, length);
            Reply::Text { status: 200, kind: PLAIN, text: handed.answer, seen: Some(seen) }
        }
        Err(refusal) => refused(request, refusal),
    })
}

/// What a node tells of itself: noted once, and never more than a claim.
fn take_word(request: &Request, store: &Store, token: &Token, word: Word, now_ms: i64) -> Result<Reply, BootError> {
    let look = request.method == Method::Head;
    Ok(match store.told(token, word, look, request.from, now_ms)? {
        Ok(told) => {
            let seen = told.first.then(|| Seen::given(request.from, &told.grant, &told.node, word.stage(), 0));
            Reply::Text { status: 200, kind: PLAIN, text: "noted\n".into(), seen }
        }
        Err(refusal) => refused(request, refusal),
    })
}

fn sending(request: &Request, opened: Opened, tag: Option<String>, kind: &'static str, seen: Seen) -> Reply {
    match slice(request, tag.as_deref(), opened.length) {
        Ok(slice) => {
            let Opened { file, length, stamp } = opened;
            Reply::File(Box::new(Sending { file, length, slice, stamp, tag, kind, seen }))
        }
        Err(Outside) => Reply::OutsideRange { length: opened.length },
    }
}

/// What is asked for lies behind the end.
struct Outside;

/// The part that is asked for: where it begins and how much, `None` for all of it.
fn slice(request: &Request, tag: Option<&str>, length: u64) -> Result<Option<(u64, u64)>, Outside> {
    // A range of another version of the file would be glued to the wrong half.
    let same = request.if_range.as_ref().is_none_or(|wanted| tag.is_some_and(|tag| *wanted == format!("\"{tag}\"")));
    let range = request.range.as_deref().filter(|_| same && request.method == Method::Get);
    match part(range, length) {
        Part::Whole => Ok(None),
        Part::Slice(from, count) => Ok(Some((from, count))),
        Part::Outside => Err(Outside),
    }
}

fn refused(request: &Request, refusal: Refusal) -> Reply {
    let seen = Seen::refused(request.from, refusal.grant, refusal.node, refusal.why.to_owned());
    Reply::Text { status: refusal.status, kind: PLAIN, text: format!("{}\n", refusal.why), seen: Some(seen) }
}

fn plain(status: u16, why: &str) -> Reply {
    Reply::Text { status, kind: PLAIN, text: format!("{why}\n"), seen: None }
}
