//! Makes one authenticated connection: TCP, handshake, host key, public key. No credential leaves before the host key is believed.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Config, Handle};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ssh::SshOptions;
use super::trust::{Guard, Shown, Trust};
use super::{ShellError, ShellTrouble, escape};

/// Longest wait for TCP; a node that is off answers nothing at all.
const TCP: Duration = Duration::from_secs(5);
/// Longest key exchange, and longest authentication: a node under software emulation needs seconds for either.
const STAGE: Duration = Duration::from_secs(20);

/// AES-GCM first: half the CPU of ChaCha20 where AES-NI exists (measured for `reference/crates.md` §3).
const CIPHERS: [russh::cipher::Name; 4] =
    [russh::cipher::AES_256_GCM, russh::cipher::AES_128_GCM, russh::cipher::CHACHA20_POLY1305, russh::cipher::AES_256_CTR];

/// Connects and logs in.
pub(super) async fn connect(options: &SshOptions, trust: &Arc<Trust>) -> Result<Handle<Guard>, ShellError> {
    let doing = options.doing();
    let key = options.key.parse().map_err(|error| ShellError {
        doing: doing.clone(),
        seen: "the key cannot be used".into(),
        kind: ShellTrouble::Credentials,
        source: Some(Box::new(error)),
    })?;
    let mut handle = handshake(options, trust, &doing).await?;
    // For RSA the hash must be one that the far end knows; asking waits for its extension message.
    let login = async {
        let hash = if key.algorithm().is_rsa() { handle.best_supported_rsa_hash().await?.flatten() } else { None };
        handle.authenticate_publickey(options.user.clone(), PrivateKeyWithHashAlg::new(Arc::new(key), hash)).await
    };
    match timeout(STAGE, login).await {
        Ok(Ok(AuthResult::Success)) => Ok(handle),
        Ok(Ok(AuthResult::Failure { .. })) => Err(ShellError::new(doing, ShellTrouble::Credentials, "the key was refused")),
        Ok(Err(error)) => Err(ShellError::lost(doing, "the connection broke while logging in", error)),
        Err(_) => Err(ShellError::new(doing, ShellTrouble::TimedOut, "no answer to the login within 20 s")),
    }
}

/// TCP and key exchange. A node holds host keys of several kinds and shows the one that we ask for first, so a key that is not
/// recorded is asked again in the other kinds before the node is refused.
async fn handshake(options: &SshOptions, trust: &Arc<Trust>, doing: &str) -> Result<Handle<Guard>, ShellError> {
    let mut kinds: Vec<Algorithm> = russh::Preferred::DEFAULT.key.to_vec();
    let mut first_shown: Option<Shown> = None;
    loop {
        let shown = match (shake(options, trust, kinds.clone(), doing).await, &first_shown) {
            (Ok(handle), _) => return Ok(handle),
            (Err(Shake::HostKey(shown)), _) => shown,
            // There is no key of the other kinds, which some servers say by hanging up: what was shown first is what the node has.
            (Err(Shake::Other(_)), Some(_)) => break,
            (Err(Shake::Other(error)), None) => return Err(error),
        };
        kinds.retain(|kind| !same_kind(kind, &shown.algorithm));
        first_shown.get_or_insert(shown);
        if !trust.may_try_another() || kinds.is_empty() {
            break;
        }
    }
    let seen = first_shown.map(|s| s.fingerprint).unwrap_or_default();
    let why = if trust.may_try_another() { "is not one of the recorded ones" } else { "is not recorded yet" };
    Err(ShellError::new(doing, ShellTrouble::HostKey { seen: seen.clone() }, format!("the host key {seen} {why}")))
}

fn same_kind(a: &Algorithm, b: &Algorithm) -> bool {
    a == b || matches!((a, b), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. }))
}

/// How one key exchange ended without a connection.
enum Shake {
    HostKey(Shown),
    Other(ShellError),
}

async fn shake(options: &SshOptions, trust: &Arc<Trust>, kinds: Vec<Algorithm>, doing: &str) -> Result<Handle<Guard>, Shake> {
    let stream = match timeout(TCP, TcpStream::connect(options.address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Shake::Other(ShellError::lost(doing, "no connection", error))),
        Err(_) => return Err(Shake::Other(ShellError::new(doing, ShellTrouble::TimedOut, "no TCP answer within 5 s"))),
    };
    // Without it each request waits for Nagle's timer: 65 instead of 33 ms a handshake.
    stream.set_nodelay(true).map_err(|error| Shake::Other(ShellError::lost(doing, "no connection", error)))?;
    let (guard, refused) = Guard::new(Arc::clone(trust));
    match timeout(STAGE, russh::client::connect_stream(Arc::new(config(kinds)), stream, guard)).await {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(error)) => Err(match (refused.get(), error) {
            (Some(shown), _) => Shake::HostKey(shown.clone()),
            (None, error) => {
                let seen = format!("no key exchange: {}", escape::shown(error.to_string().as_bytes()));
                Shake::Other(ShellError::new(doing, ShellTrouble::Unreachable, seen))
            }
        }),
        Err(_) => Err(Shake::Other(ShellError::new(doing, ShellTrouble::TimedOut, "no key exchange within 20 s"))),
    }
}

fn config(kinds: Vec<Algorithm>) -> Config {
    Config {
        client_id: russh::SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-bringup_", env!("CARGO_PKG_VERSION")))),
        preferred: russh::Preferred {
            key: Cow::Owned(kinds),
            cipher: Cow::Borrowed(&CIPHERS),
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..russh::Preferred::DEFAULT
        },
        nodelay: true,
        // Bounds what a node can make us hold: 16 packets of 32 KiB for each command.
        window_size: 512 << 10,
        channel_buffer_size: 16,
        // A node that lost power is noticed after 30 s; a write to it that blocks is given up after 90 s.
        keepalive_interval: Some(Duration::from_secs(10)),
        keepalive_max: 2,
        inactivity_timeout: Some(Duration::from_secs(90)),
        ..Config::default()
    }
}
