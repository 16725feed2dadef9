//! The boot server. DHCP gives each node its address and what to boot, TFTP the loader to ROMs that know nothing better; HTTP hands it its
//! iPXE script, kernel, initrd and image under a single-use grant.
//!
//! A grant is issued by `apply` for one node, plan and time, and lives in a SQLite file that `apply` and `serve` share. The script can be
//! fetched once; it names the files under a second token that is made when it is handed out, so a replayed script opens nothing. What was
//! refused is recorded beside what was given, for the journal.
//!
//! A grant may bring its node an *identity*: an SSH host key of its own for this one boot. It is handed out once, over TLS only, to a node that
//! knows the server's certificate from its command line.
//!
//! A rack cache (`cache`) is the same server without grants: files by digest, each request under another boot server's word.
//!
//! It never serves a path that a request names, and never an image's file whose SHA-256 is not the grant's.

mod answer;
mod artifact;
mod ask;
mod cache;
pub mod dhcp;
mod fetch;
mod grant;
mod grants;
mod handover;
mod http;
mod identity;
mod later;
mod loaders;
mod media;
mod range;
mod route;
mod script;
mod server;
mod sightings;
mod signs;
mod store;
mod storm;
mod tftp;
mod tls;
mod told;
mod writer;

pub use artifact::ArtifactError;
pub use ask::{AskError, ask, cache_of, health};
pub use cache::{Blobs, Cache, CacheError, Held, Upstream, UpstreamError};
pub use grant::{
    GrantSpec, GrantState, GrantStatus, Issued, MEDIUM, Noted, Opens, SpecError, Stage, Token, new_grant_id, now_ms,
};
pub use grants::Grants;
pub use identity::{BootKey, Identity, IdentityError, IdentityNote};
pub use loaders::{
    LOADERS, Loader, LoaderError, Loaders, Pin, lock_of, look as look_at_loaders, write_lock as write_loaders_lock,
};
pub use server::{BootLog, Health, Seen, ServeOptions, serve, serve_with};
pub use sightings::Sighting;
pub use signs::{Sign, SignKind, SignsOf};
pub use store::BootError;
pub use storm::{Gauge, Rate, RateError, Storm, StormRules, TRANSFERS};
pub use tftp::{
    Files, FilesError, StartError, TftpEnd, TftpLimits, TftpLog, TftpSocket, TftpTold, VirtualFile, note_down as note_tftp_down,
    serve as serve_tftp,
};
pub use tls::{Door, Shown, TlsError, serve_https};
