//! The HTTPS half of the boot server: where it listens, and which certificate it shows.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::{Exit, Failure, Result};
use super::global::Global;
use crate::boot::{Door, Grants, ServeOptions, Shown, TlsError, serve_https};

/// Where `apply` listens when it starts a boot server itself, and what `--https` means by itself. 443 needs root.
pub const PORT: u16 = 8443;

/// `PORT`, or `ADDRESS:PORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsAt {
    address: Option<IpAddr>,
    port: u16,
}

impl FromStr for HttpsAt {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        if let Ok(port) = text.parse() {
            return Ok(Self { address: None, port });
        }
        let at: SocketAddr = text.parse().map_err(|_| "neither PORT nor ADDRESS:PORT")?;
        Ok(Self { address: Some(at.ip()), port: at.port() })
    }
}

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
pub struct HttpsArgs {
    /// Serve over TLS too, where nodes fetch the host key that their boot brings
    #[arg(long, value_name = "[ADDR:]PORT", num_args = 0..=1, default_missing_value = "8443")]
    pub https: Option<HttpsAt>,
    /// Certificate to show (PEM); without it one is made and kept beside the journal
    #[arg(long, value_name = "FILE", requires = "tls_key", requires = "https")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// Why the address cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} for HTTPS")]
struct Listen {
    address: SocketAddr,
    source: std::io::Error,
}

fn refused(error: TlsError) -> Failure {
    let hint = match error {
        TlsError::Unfit { source: rustls::Error::InvalidCertificate(_), .. } => {
            Some("a certificate of X.509 version 3 is wanted, the server's own first")
        }
        TlsError::Unfit { .. } => Some("does --tls-key hold the key of the first certificate of --tls-cert?"),
        TlsError::Dates { .. } => {
            Some("renew it, or leave out --tls-cert: bringup then shows one of its own, which nodes know by its digest")
        }
        _ => None,
    };
    let failure = Failure::new(Exit::ERROR, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// A listener with its certificate, not serving yet.
pub struct HttpsDoor {
    listener: tokio::net::TcpListener,
    shown: Shown,
    /// What scripts tell nodes.
    pub door: Door,
}

impl HttpsDoor {
    /// Listens, with the certificate that the flags name or the one of the state folder, and tells its digests.
    ///
    /// # Errors
    /// The address or the certificate cannot be had.
    pub async fn open(at: HttpsAt, http: IpAddr, files: Option<(PathBuf, PathBuf)>, global: &Global) -> Result<Self> {
        let own = global.state_dir()?.join("boot-server.pem");
        let read = move || match files {
            Some((certificate, key)) => Shown::of_files(&certificate, &key),
            None => Shown::own(&own),
        };
        let shown = tokio::task::spawn_blocking(read).await?.map_err(refused)?;
        let wanted = SocketAddr::new(at.address.unwrap_or(http), at.port);
        let bound = tokio::net::TcpListener::bind(wanted).await.and_then(|l| l.local_addr().map(|at| (l, at)));
        let (listener, address) = bound.map_err(|source| {
            Failure::new(Exit::ERROR, Listen { address: wanted, source })
                .hint("is another boot server running? `serve --https` takes another port")
        })?;
        global.talk(format!(
            "HTTPS on {address}: certificate SHA-256 {}, curl --pinnedpubkey {}",
            shown.sha256(),
            shown.key_pin()
        ));
        // Nodes come back to the address at which they found the script, unless this one is another.
        let own = Some(address.ip()).filter(|ip| !ip.is_unspecified() && *ip != http);
        let door = Door { address: own, port: address.port(), sha256: shown.sha256().clone() };
        Ok(Self { listener, shown, door })
    }

    /// Where `apply` opens one for a boot server at this address.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn beside(http: IpAddr, global: &Global) -> Result<Self> {
        Self::open(HttpsAt { address: None, port: PORT }, http, None, global).await
    }

    /// As the flags of `serve` say.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn of_flags(args: &HttpsArgs, http: IpAddr, global: &Global) -> Result<Option<Self>> {
        let files = args.tls_cert.clone().zip(args.tls_key.clone());
        match args.https {
            Some(at) => Ok(Some(Self::open(at, http, files, global).await?)),
            None => Ok(None),
        }
    }

    /// Serves until it is stopped.
    pub fn serve(self, grants: Grants, options: ServeOptions, stop: CancellationToken) -> JoinHandle<()> {
        tokio::spawn(serve_https(self.listener, self.shown, grants, options, stop))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_or_an_address_with_one() {
        let read = |text: &str| text.parse::<HttpsAt>().map(|at| (at.address.map(|ip| ip.to_string()), at.port));
        assert_eq!(read("8443"), Ok((None, 8443)));
        assert_eq!(read("[::1]:1"), Ok((Some("::1".into()), 1)));
        assert!(read("10.0.0.1").is_err() && read(":8443").is_err() && read("70000").is_err());
    }
}
