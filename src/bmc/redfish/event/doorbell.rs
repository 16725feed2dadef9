//! Where BMCs push events to: a small HTTPS service of this process. A push is only a bell. Nobody can tell who rang it (a BMC does not log in here), so
//! that nothing in it is believed or shown: whoever is rung for reads the log, over the session that it trusts.
//!
//! Each BMC rings at an address of its own with 128 random bits in it; everything else is answered 404.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_util::task::AbortOnDropHandle;

/// Connections at once; a BMC needs one for a moment.
const CONNECTIONS: usize = 256;
/// Longest body that is read before it is forgotten.
const BODY: usize = 1 << 20;
/// Longest wait for a handshake, or for a request on an open connection.
const IDLE: Duration = Duration::from_secs(15);

type Ears = Arc<Mutex<BTreeMap<String, Arc<Notify>>>>;

/// Why nothing can listen.
#[derive(Debug, thiserror::Error)]
pub enum DoorbellError {
    /// The address is not to be had.
    #[error("listening for events on {0}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// No certificate could be made.
    #[error("making a certificate for the listener of events")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What listens.
pub struct Doorbell {
    base: String,
    ears: Ears,
    _task: AbortOnDropHandle<()>,
}

/// One BMC's bell. Dropping it makes its address unknown.
pub(super) struct Ear {
    token: String,
    url: String,
    rung: Arc<Notify>,
    ears: Ears,
}

impl Doorbell {
    /// Listens on `address`, with a certificate made for this use. BMCs are told `public`, `HOST` or `HOST:PORT`, or else the address itself.
    ///
    /// # Errors
    /// [`DoorbellError`].
    pub async fn listen(address: SocketAddr, public: Option<&str>) -> Result<Arc<Self>, DoorbellError> {
        let failed = |e: std::io::Error| DoorbellError::Listen(address, e);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let own = listener.local_addr().map_err(failed)?;
        let host = match public {
            Some(host) if host.contains(':') && !host.ends_with(']') => host.to_owned(),
            Some(host) => format!("{host}:{}", own.port()),
            None => own.to_string(),
        };
        let tls = certificate(&host)?;
        let ears = Ears::default();
        let task = AbortOnDropHandle::new(tokio::spawn(serve(listener, tls, Arc::clone(&ears))));
        Ok(Arc::new(Self { base: format!("https://{host}"), ears, _task: task }))
    }

    /// What BMCs are told, without the part that is each one's own.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    pub(super) fn ear(&self) -> Ear {
        let token = format!("{:032x}", rand::random::<u128>());
        let rung = Arc::new(Notify::new());
        self.ears.lock().unwrap_or_else(PoisonError::into_inner).insert(token.clone(), Arc::clone(&rung));
        Ear { url: format!("{}/{token}", self.base), token, rung, ears: Arc::clone(&self.ears) }
    }
}

impl Ear {
    /// Where the BMC rings.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Waits until it was rung since the last time. Cancelling it loses nothing.
    pub(super) async fn rung(&self) {
        self.rung.notified().await;
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.ears.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.token);
    }
}

fn certificate(host: &str) -> Result<tokio_rustls::TlsAcceptor, DoorbellError> {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name).trim_matches(['[', ']']).to_owned();
    let failed = |e: Box<dyn std::error::Error + Send + Sync>| DoorbellError::Certificate(e);
    let made = rcgen::generate_simple_self_signed(vec![name]).map_err(|e| failed(e.into()))?;
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|e| failed(e.into()))?;
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| failed(e.into()))?
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .map_err(|e| failed(e.into()))?;
    Ok(Arc::new(config).into())
}

async fn serve(listener: TcpListener, tls: tokio_rustls::TlsAcceptor, ears: Ears) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut open = tokio::task::JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give others the time to close some.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (tls, ears) = (tls.clone(), Arc::clone(&ears));
        open.spawn(async move {
            // Whoever holds a place without ringing loses it.
            drop(tokio::time::timeout(IDLE * 2, welcome(stream, tls, ears)).await);
            drop(place);
        });
    }
}

async fn welcome(stream: TcpStream, tls: tokio_rustls::TlsAcceptor, ears: Ears) {
    let Ok(Ok(stream)) = tokio::time::timeout(IDLE, tls.accept(stream)).await else { return };
    attend(stream, ears).await;
}

/// One connection, whoever is at its other end.
async fn attend(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, ears: Ears) {
    let each = service_fn(move |request| answer(request, Arc::clone(&ears)));
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(16 << 10)
        .serve_connection(TokioIo::new(stream), each)
        .await;
    // A BMC that hangs up in the middle is its own affair.
    drop(served);
}

async fn answer(request: Request<Incoming>, ears: Ears) -> Result<Response<Empty<Bytes>>, Infallible> {
    let token = request.uri().path().trim_matches('/').to_owned();
    let rung = ears.lock().unwrap_or_else(PoisonError::into_inner).get(&token).map(Arc::clone);
    let known = request.method() == Method::POST && rung.is_some();
    // Read to its end, so that the BMC sees an answer and not a reset.
    let whole = Limited::new(request.into_body(), BODY).collect().await.is_ok();
    let status = match (known, whole) {
        (true, true) => StatusCode::OK,
        (true, false) => StatusCode::PAYLOAD_TOO_LARGE,
        (false, _) => StatusCode::NOT_FOUND,
    };
    if let Some(rung) = rung.filter(|_| known) {
        // Even a body that is too long says that something happened.
        rung.notify_one();
    }
    let mut response = Response::new(Empty::new());
    *response.status_mut() = status;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    /// Says these bytes in two pieces and hangs up; gives the answer, and whether the bell rang.
    fn said(bytes: &[u8], cut: usize) -> (Vec<u8>, bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let rung = Arc::new(Notify::new());
            let ears = Ears::default();
            ears.lock().unwrap().insert(TOKEN.to_owned(), Arc::clone(&rung));
            let (mut near, far) = tokio::io::duplex(64 << 10);
            let attending = tokio::spawn(attend(far, ears));
            let (head, tail) = bytes.split_at(cut.min(bytes.len()));
            for piece in [head, tail] {
                // It may have hung up already.
                drop(near.write_all(piece).await);
                drop(near.flush().await);
                tokio::task::yield_now().await;
            }
            drop(near.shutdown().await);
            let mut answer = Vec::new();
            let read = tokio::time::timeout(IDLE * 2, near.read_to_end(&mut answer)).await;
            assert!(read.is_ok(), "it neither answers nor hangs up");
            attending.await.unwrap();
            // A ring is kept for whoever listens next.
            let rang = tokio::time::timeout(Duration::ZERO, rung.notified()).await.is_ok();
            (answer, rang)
        })
    }

    fn request(method: &str, path: &str, body: &str) -> Vec<u8> {
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    }

    #[test]
    fn it_rings_for_its_own_address_alone() {
        for (method, path, status, rings) in [
            ("POST", format!("/{TOKEN}"), "200", true),
            ("POST", format!("/{TOKEN}/"), "200", true),
            ("GET", format!("/{TOKEN}"), "404", false),
            ("POST", format!("/{}", TOKEN.to_uppercase()), "404", false),
            ("POST", "/".to_owned(), "404", false),
        ] {
            let (answer, rang) = said(&request(method, &path, "{\"Events\": []}"), 20);
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{method} {path}: {answer}");
            assert_eq!(rang, rings, "{method} {path}");
        }
    }

    #[test]
    fn a_body_without_an_end_rings_and_is_not_kept() {
        let (answer, rang) = said(&request("POST", &format!("/{TOKEN}"), &"x".repeat(BODY + 1)), 100);
        assert!(answer.starts_with(b"HTTP/1.1 413 ") && rang, "{}", String::from_utf8_lossy(&answer));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_bytes_end_without_a_ring(bytes in prop::collection::vec(any::<u8>(), 0..400), cut in 0_usize..400) {
            prop_assert!(!said(&bytes, cut).1);
        }

        #[test]
        fn any_request_is_answered_and_rings_only_at_the_address(
            method in "(POST|GET|PUT|DELETE|[A-Z]{1,8})",
            own in any::<bool>(),
            path in "[!-~]{0,40}",
            body in ".{0,60}",
            cut in 0_usize..120,
        ) {
            let path = if own { format!("/{TOKEN}") } else { format!("/x{path}") };
            let (answer, rang) = said(&request(&method, &path, &body), cut);
            prop_assert_eq!(rang, own && method == "POST");
            prop_assert!(method == "CONNECT" || answer.starts_with(b"HTTP/1.1 "), "{:?}", String::from_utf8_lossy(&answer));
        }
    }
}
