//! The body of an upload: a frame and the image between its halves, read from the file as it is sent, never held whole. It counts what it hands
//! over, and keeps back the end of an image that is not the one that was announced.

use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead as _, ReadBuf};

use crate::model::Digest;

/// Bytes that are read from the file at a time.
const CHUNK: usize = 64 << 10;

/// How far an upload has come. Shared with whoever watches it.
#[derive(Debug)]
pub(super) struct Sent {
    bytes: AtomicU64,
    of: u64,
    trouble: Mutex<Option<String>>,
}

impl Sent {
    /// Bytes that were handed to the connection.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of the whole body.
    pub(super) fn of(&self) -> u64 {
        self.of
    }

    /// True when the BMC may have the whole body. While this is false it cannot have it.
    pub(super) fn whole(&self) -> bool {
        self.bytes() >= self.of
    }

    /// What was wrong with the file, if that is why the upload broke off.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An image file, opened.
pub(super) struct Image {
    file: File,
    /// Its length in bytes.
    pub(super) len: u64,
}

impl Image {
    /// Opens a regular file.
    pub(super) async fn open(path: &Path) -> std::io::Result<Self> {
        let file = File::open(path).await?;
        let about = file.metadata().await?;
        if !about.is_file() {
            return Err(std::io::Error::other("it is not a regular file"));
        }
        if about.len() == 0 {
            return Err(std::io::Error::other("it is empty"));
        }
        Ok(Self { len: about.len(), file })
    }
}

struct Source {
    file: File,
    left: u64,
    hash: Sha256,
    want: Digest,
}

/// A body of known length.
pub(super) struct Load {
    before: Option<Bytes>,
    image: Option<Source>,
    after: Option<Bytes>,
    sent: Arc<Sent>,
}

impl Load {
    /// A body without an image.
    pub(super) fn bytes(bytes: Bytes) -> Self {
        let of = bytes.len() as u64;
        let sent = Arc::new(Sent { bytes: AtomicU64::new(0), of, trouble: Mutex::default() });
        Self { before: Some(bytes), image: None, after: None, sent }
    }

    /// An image between the halves of its frame; both are empty when it goes bare.
    pub(super) fn image(before: Bytes, image: Image, want: &Digest, after: Bytes) -> Self {
        let of = (before.len() + after.len()) as u64 + image.len;
        let sent = Arc::new(Sent { bytes: AtomicU64::new(0), of, trouble: Mutex::default() });
        let reading = Source { file: image.file, left: image.len, hash: Sha256::new(), want: want.clone() };
        let some = |half: Bytes| (!half.is_empty()).then_some(half);
        Self { before: some(before), image: Some(reading), after: some(after), sent }
    }

    /// How far it has come.
    pub(super) fn sent(&self) -> Arc<Sent> {
        Arc::clone(&self.sent)
    }

    fn hand_over(&self, bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.sent.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn give_up(&self, why: String) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        *self.sent.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.clone());
        Poll::Ready(Some(Err(std::io::Error::other(why))))
    }
}

impl Body for Load {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if let Some(before) = this.before.take() {
            return this.hand_over(before);
        }
        if let Some(reading) = &mut this.image {
            let room = usize::try_from(reading.left).unwrap_or(CHUNK).min(CHUNK);
            let mut chunk = vec![0; room];
            let mut buffer = ReadBuf::new(&mut chunk);
            match Pin::new(&mut reading.file).poll_read(cx, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(e)) => return this.give_up(format!("the image could not be read: {e}")),
                Poll::Ready(Ok(())) => {}
            }
            let filled = buffer.filled().len();
            chunk.truncate(filled);
            if filled == 0 {
                let left = reading.left;
                return this.give_up(format!("the image became {left} bytes shorter while it was sent"));
            }
            reading.hash.update(&chunk);
            reading.left = reading.left.saturating_sub(filled as u64);
            if reading.left == 0 {
                let found = Digest::from_bytes(&reading.hash.clone().finalize().into());
                // The last bytes stay here: what the BMC has then is not whole, and nothing comes of it.
                if found != reading.want {
                    let want = reading.want.short().to_owned();
                    return this.give_up(format!("the image changed: its SHA-256 is {}…, not {want}…", found.short()));
                }
                this.image = None;
            }
            return this.hand_over(chunk.into());
        }
        match this.after.take() {
            Some(after) => this.hand_over(after),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.before.is_none() && self.image.is_none() && self.after.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.sent.of.saturating_sub(self.sent.bytes()))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn load(bytes: &[u8], want: &[u8]) -> (Result<Bytes, std::io::Error>, Arc<Sent>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        std::fs::write(&path, bytes).unwrap();
        let want = Digest::from_bytes(&Sha256::digest(want).into());
        let image = Image::open(&path).await.unwrap();
        let load = Load::image(Bytes::from_static(b"<"), image, &want, Bytes::from_static(b">"));
        let sent = load.sent();
        assert_eq!(load.size_hint().exact(), Some(bytes.len() as u64 + 2));
        assert!(!sent.whole());
        (load.collect().await.map(http_body_util::Collected::to_bytes), sent)
    }

    #[tokio::test]
    async fn an_image_is_streamed_with_its_length() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|i| i.to_le_bytes()[0]).collect();
        let (body, sent) = load(&bytes, &bytes).await;
        let body = body.unwrap();
        assert_eq!((body.first(), body.last(), body.len()), (Some(&b'<'), Some(&b'>'), bytes.len() + 2));
        assert_eq!(&body[1..=bytes.len()], bytes);
        assert!(sent.whole() && sent.trouble().is_none());
    }

    #[tokio::test]
    async fn another_image_is_never_sent_whole() {
        let (body, sent) = load(&[7; 70_000], &[8; 70_000]).await;
        assert!(body.unwrap_err().to_string().contains("the image changed"));
        assert!(!sent.whole() && sent.bytes() < 70_002, "{sent:?}");
    }

    #[tokio::test]
    async fn only_files_with_something_in_them_are_images() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Image::open(dir.path()).await.is_err());
        assert!(Image::open(&dir.path().join("none")).await.is_err());
        std::fs::write(dir.path().join("empty"), b"").unwrap();
        assert!(Image::open(&dir.path().join("empty")).await.err().is_some_and(|e| e.to_string().contains("empty")));
    }
}
