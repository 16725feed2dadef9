//! A small HTTP/1.1 server of the tests' own, raw enough to break every rule on purpose. It shares no code with the client.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bringup::bmc::Password;
use bringup::bmc::redfish::{FirstContact, Limits, Redfish, RedfishOptions};
use bringup::model::{BmcTrust, Digest};
use sha2::Digest as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// Bytes of the body; `body` itself is text, as well as it could be read.
    pub length: usize,
    /// How many requests with the same method and path came before.
    pub before: usize,
}

impl Seen {
    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path.trim_end_matches('/') == path.trim_end_matches('/')
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What goes back.
#[derive(Debug, Clone)]
pub enum Reply {
    /// A proper answer.
    Say(u16, Vec<(String, String)>, String),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// This head, then zeros for ever.
    Endless(Vec<u8>),
    /// The end of the connection, without an answer.
    Drop,
    /// This head and part of a body, then silence on an open connection.
    Stall(Vec<u8>),
}

impl Reply {
    pub fn json(status: u16, value: &serde_json::Value) -> Self {
        Self::Say(status, vec![("content-type".into(), "application/json".into())], value.to_string())
    }

    pub fn status(status: u16) -> Self {
        Self::Say(status, Vec::new(), String::new())
    }

    pub fn with(self, name: &str, value: &str) -> Self {
        match self {
            Self::Say(status, mut headers, body) => {
                headers.push((name.into(), value.into()));
                Self::Say(status, headers, body)
            }
            other => other,
        }
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// The server; it ends with the test's runtime.
pub struct Server {
    pub address: SocketAddr,
    pub fingerprint: Option<Digest>,
    pub log: Arc<Mutex<Vec<Seen>>>,
    pub connections: Arc<Mutex<usize>>,
    /// The most connections that were open at once.
    pub open: Arc<Mutex<usize>>,
    /// Bytes that arrived as TLS application data or plain text, over all connections.
    pub bytes: Arc<Mutex<usize>>,
}

impl Server {
    pub async fn plain(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, Arc::new(handler)).await
    }

    pub async fn tls(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Some(certificate()), Arc::new(handler)).await
    }

    /// With a certificate of the test's choice.
    pub async fn certified(
        tls: (Arc<rustls::ServerConfig>, Digest),
        handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start(Some(tls), Arc::new(handler)).await
    }

    async fn start(tls: Option<(Arc<rustls::ServerConfig>, Digest)>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            fingerprint: tls.as_ref().map(|(_, digest)| digest.clone()),
            log: Arc::default(),
            connections: Arc::default(),
            open: Arc::default(),
            bytes: Arc::default(),
        };
        let (log, connections, bytes) = (server.log.clone(), server.connections.clone(), server.bytes.clone());
        let (open, most) = (Arc::new(Mutex::new(0_usize)), server.open.clone());
        let acceptor = tls.map(|(config, _)| tokio_rustls::TlsAcceptor::from(config));
        tokio::spawn(async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else { return };
                *connections.lock().unwrap() += 1;
                let (handler, log, bytes, acceptor) = (handler.clone(), log.clone(), bytes.clone(), acceptor.clone());
                let open = open.clone();
                {
                    let mut now = open.lock().unwrap();
                    *now += 1;
                    let mut most = most.lock().unwrap();
                    *most = now.max(*most);
                }
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(tcp, &*handler, &log, &bytes).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(tcp).await {
                                serve(stream, &*handler, &log, &bytes).await;
                            }
                        }
                    }
                    *open.lock().unwrap() -= 1;
                });
            }
        });
        server
    }

    /// Requests with this method whose path ends so.
    pub fn count(&self, method: &str, path_end: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|s| s.method == method && s.path.ends_with(path_end)).count()
    }

    /// Options with short times.
    pub fn options(&self, password: &str) -> RedfishOptions {
        let trust = self.fingerprint.clone().map_or(BmcTrust::Plaintext, BmcTrust::Pinned);
        let mut options = RedfishOptions::new(self.address, "admin", Password::new(password), trust);
        options.limits = quick();
        options
    }

    pub fn client(&self) -> Redfish {
        Redfish::new(self.options("password")).unwrap()
    }
}

/// Limits that keep tests short and are still ten times what a loopback exchange needs.
pub fn quick() -> Limits {
    Limits {
        request: Duration::from_secs(10),
        inventory: Duration::from_secs(30),
        idle: Duration::from_millis(700),
        pause: Duration::from_millis(10),
        retry_after: (Duration::from_millis(50), Duration::from_secs(2)),
        poll: (Duration::from_millis(20), Duration::from_millis(100)),
        ..Limits::default()
    }
}

/// First contact, refused or accepted.
pub fn first_contact(server: &Server, first: FirstContact) -> Redfish {
    let mut options = server.options("password");
    options.trust = BmcTrust::FirstContact;
    options.first_contact = first;
    Redfish::new(options).unwrap()
}

pub fn fingerprint(der: &[u8]) -> Digest {
    Digest::new(sha2::Sha256::digest(der).iter().map(|b| format!("{b:02x}")).collect::<String>()).unwrap()
}

fn certificate() -> (Arc<rustls::ServerConfig>, Digest) {
    // The wrong name on purpose: BMCs are misnamed as a rule.
    let made = rcgen::generate_simple_self_signed(vec!["localhost.localdomain".to_owned()]).unwrap();
    let digest = fingerprint(made.cert.der());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Arc::new(config), digest)
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    handler: &Handler,
    log: &Mutex<Vec<Seen>>,
    bytes: &Mutex<usize>,
) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    *bytes.lock().unwrap() += n;
                    buffer.extend_from_slice(&chunk[..n]);
                }
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap().split(' ');
        let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap_or("").to_owned());
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length: usize = headers.get("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
        while buffer.len() < end + length {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(n) => buffer.extend_from_slice(&chunk[..n]),
            }
        }
        let body = String::from_utf8_lossy(&buffer[end..end + length]).into_owned();
        buffer.drain(..end + length);
        let seen = {
            let mut log = log.lock().unwrap();
            let before = log.iter().filter(|s| s.method == method && s.path == path).count();
            let seen = Seen { method, path, headers, body, length, before };
            log.push(seen.clone());
            seen
        };
        match handler(&seen) {
            Reply::Say(status, headers, body) => {
                let mut text = format!("HTTP/1.1 {status} X\r\n");
                for (name, value) in &headers {
                    text.push_str(&format!("{name}: {value}\r\n"));
                }
                if status != 204 {
                    text.push_str(&format!("content-length: {}\r\n", body.len()));
                }
                text.push_str("\r\n");
                text.push_str(&body);
                if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Reply::Raw(raw) => {
                drop(stream.write_all(&raw).await);
                drop(stream.shutdown().await);
                return;
            }
            Reply::Endless(head) => {
                drop(stream.write_all(&head).await);
                while stream.write_all(&[b' '; 65_536]).await.is_ok() {}
                return;
            }
            Reply::Drop => return,
            Reply::Stall(head) => {
                drop(stream.write_all(&head).await);
                drop(stream.flush().await);
                std::future::pending::<()>().await;
            }
        }
    }
}
