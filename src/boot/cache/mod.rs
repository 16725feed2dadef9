//! A rack cache: `serve --cache UPSTREAM`. It holds files by digest and no grants. Whether a machine may have a file is asked of the boot server
//! upstream, each time, under the machine's own token; what the file is (its SHA-256) comes with that answer. The file itself comes from the cache's
//! own disk, or once from upstream for all who wait for it. Scripts, media and identities are the boot server's own: a cache gives none.

mod blobs;
mod error;
mod incoming;
mod shelf;
mod upstream;

use std::sync::Arc;

pub use self::blobs::{Blobs, Held};
pub use self::error::CacheError;
use self::upstream::{Told, Trouble};
pub use self::upstream::{Upstream, UpstreamError};
use super::answer::{Method, PLAIN, Reply, Request, plain, sending};
use super::route::{Ask, NotUnderstood, Which, route};
use super::server::Seen;

/// What a machine is told that asks a cache for what only a boot server has.
const FILES_ONLY: &str = "this is a cache of files; scripts, media and identities come from the boot server itself";
const FILE: &str = "application/octet-stream";

/// A cache and where it fetches from. Cheap to clone.
#[derive(Clone)]
pub struct Cache {
    blobs: Arc<Blobs>,
    upstream: Arc<Upstream>,
}

impl Cache {
    /// A cache over these files.
    #[must_use]
    pub fn new(blobs: Blobs, upstream: Upstream) -> Self {
        Self { blobs: Arc::new(blobs), upstream: Arc::new(upstream) }
    }

    /// What is held now.
    #[must_use]
    pub fn held(&self) -> Held {
        self.blobs.held()
    }

    /// Answers one request; `None`: it is for a loader that needs no grant, which any boot server may give.
    pub(super) async fn answer(&self, asked: &Request) -> Option<Reply> {
        if !matches!(asked.method, Method::Get | Method::Head) {
            return Some(plain(405, "only GET and HEAD are known here"));
        }
        Some(match route(&asked.path, asked.query.as_deref()) {
            Err(NotUnderstood::NoSuchPath) => plain(404, "there is no such thing here"),
            Err(NotUnderstood::Bad(why)) => plain(400, why),
            Ok(Ask::OpenLoader(_)) => return None,
            Ok(Ask::Health) => self.health(),
            Ok(Ask::File(_, which)) => self.file(asked, which).await,
            Ok(_) => plain(404, FILES_ONLY),
        })
    }

    fn health(&self) -> Reply {
        let Held { files, bytes, limit, fetched } = self.held();
        let health = serde_json::json!({
            "service": "bringup-cache", "upstream": self.upstream.to_string(),
            "files": files, "bytes": bytes, "limit": limit, "fetched": fetched,
        });
        Reply::Text { status: 200, kind: "application/json", text: format!("{health}\n"), seen: None }
    }

    async fn file(&self, asked: &Request, which: Which) -> Reply {
        // `route` knows it for the path of a file: no query, and no character that could end a request line.
        let target = &asked.path;
        let look = asked.method == Method::Head;
        let (digest, length) = match self.upstream.ask(target, look).await {
            Ok(Told::File { digest, length }) => (digest, length),
            Ok(Told::Refused { status, text }) => {
                let seen = Seen::refused(asked.from, None, None, format!("the boot server refused: {}", text.trim()));
                return Reply::Text { status, kind: PLAIN, text, seen: Some(seen) };
            }
            Err(trouble) => return in_trouble(asked, &trouble),
        };
        if look {
            return Reply::Look { length, tag: digest.to_string(), kind: FILE };
        }
        match self.blobs.get(&digest, length, &self.upstream, target).await {
            Ok(opened) => {
                let (stage, of) = (which.stage(), opened.length);
                let seen = Seen { from: asked.from, grant: None, node: None, stage, bytes: of, of, why: String::new() };
                sending(asked, opened, Some(digest.to_string()), FILE, seen)
            }
            Err(error) => in_trouble(asked, &Trouble { status: error.status(), why: error.words() }),
        }
    }
}

/// The same words for the machine and for the log: they hold no secret, and who stands at the machine needs them.
fn in_trouble(asked: &Request, trouble: &Trouble) -> Reply {
    let seen = Seen::refused(asked.from, None, None, trouble.why.clone());
    Reply::Text { status: trouble.status, kind: PLAIN, text: format!("{}\n", trouble.why), seen: Some(seen) }
}
