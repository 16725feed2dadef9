//! A rack cache: `serve --cache UPSTREAM`. It holds files by digest and no grants. Whether a machine may have a file is asked of the boot server
//! upstream, each time, under the machine's own token; what the file is (its SHA-256) comes with that answer. The file itself comes from the cache's
//! own disk, or once from upstream for all who wait for it. Scripts are passed through; what is neither is refused.

mod blobs;
mod upstream;

use std::path::Path;
use std::sync::Arc;

pub use self::blobs::{Blobs, CacheError, Held};
use self::upstream::{Told, Trouble};
pub use self::upstream::{Upstream, UpstreamError};
use super::answer::{Method, PLAIN, Reply, Request, SCRIPT, give_open_loader, plain, sending};
use super::route::{Ask, NotUnderstood, Which, route};
use super::server::Seen;

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

    /// Answers one request.
    pub(super) async fn answer(&self, asked: &Request, loaders: &Path) -> Reply {
        if asked.method == Method::Other {
            return plain(405, "only GET and HEAD are known here");
        }
        match route(&asked.path, asked.query.as_deref()) {
            Err(NotUnderstood::NoSuchPath) => plain(404, "there is no such thing here"),
            Err(NotUnderstood::Bad(why)) => plain(400, why),
            Ok(Ask::Health) => self.health(),
            Ok(Ask::OpenLoader(loader)) => give_open_loader(asked, loaders, loader),
            Ok(Ask::Loader(..)) => plain(404, "a cache has no loaders of grants: the boot server itself has them"),
            Ok(Ask::File(_, which)) => self.file(asked, which).await,
            Ok(_) => self.pass(asked).await,
        }
    }

    fn health(&self) -> Reply {
        let held = self.held();
        let health = serde_json::json!({
            "service": "bringup-cache", "upstream": self.upstream.to_string(), "files": held.files, "bytes": held.bytes, "limit": held.limit,
        });
        Reply::Text { status: 200, kind: "application/json", text: format!("{health}\n"), seen: None }
    }

    async fn file(&self, asked: &Request, which: Which) -> Reply {
        let target = target(asked);
        let told = match self.upstream.ask(&target, asked.method == Method::Head).await {
            Ok(told) => told,
            Err(trouble) => return trouble_reply(asked, &trouble),
        };
        let (digest, length) = match told {
            Told::File { digest, length } => (digest, length),
            Told::Refused { status, text } => {
                let seen = Seen::refused(asked.from, None, None, format!("upstream refused: {}", text.trim()));
                return Reply::Text { status, kind: PLAIN, text, seen: Some(seen) };
            }
        };
        match self.blobs.get(&digest, length, &self.upstream, &target).await {
            Ok(opened) => {
                let seen = Seen {
                    from: asked.from,
                    grant: None,
                    node: None,
                    stage: which.stage(),
                    bytes: opened.length,
                    of: opened.length,
                    why: String::new(),
                };
                sending(asked, opened, Some(digest.to_string()), "application/octet-stream", seen)
            }
            Err(error) => trouble_reply(asked, &Trouble { status: error.status(), why: error.words() }),
        }
    }

    /// A script, or the refusal of one, as upstream says it. The `Host` of the machine goes with it, so that the script names this cache.
    async fn pass(&self, asked: &Request) -> Reply {
        let head = asked.method == Method::Head;
        match self.upstream.text(&target(asked), head, asked.host.as_deref()).await {
            Ok((status, text)) => Reply::Text { status, kind: if status == 200 { SCRIPT } else { PLAIN }, text, seen: None },
            Err(trouble) => trouble_reply(asked, &trouble),
        }
    }
}

/// Path and query as they came; `route` has read them.
fn target(asked: &Request) -> String {
    match &asked.query {
        Some(query) => format!("{}?{query}", asked.path),
        None => asked.path.clone(),
    }
}

fn trouble_reply(asked: &Request, trouble: &Trouble) -> Reply {
    let seen = Seen::refused(asked.from, None, None, trouble.why.clone());
    Reply::Text { status: trouble.status, kind: PLAIN, text: format!("{}\n", trouble.why), seen: Some(seen) }
}
