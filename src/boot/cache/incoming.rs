//! One file on its way from upstream into the cache's folder: written beside its place, hashed while it is written, and put there only when it is
//! what was said. A fetch that breaks off goes on from where it stood.

use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::error::CacheError;
use super::upstream::{Trouble, Upstream};
use crate::model::Digest;

/// End of the name of a file that is on its way in.
pub(super) const PART: &str = ".part";
/// How often a fetch that broke off goes on without a byte of progress in between: after 1, 2 and 4 s, in which a boot server is started anew.
const TRIES: u32 = 4;

/// Fetches a file, and puts it under its digest if it has it. Nothing stays when it has not.
pub(super) async fn fetch(
    folder: &Path,
    want: &Digest,
    length: u64,
    upstream: &Upstream,
    target: &str,
) -> Result<(), CacheError> {
    let part = folder.join(format!("{want}{PART}"));
    let done = write(&part, want, length, upstream, target).await.and_then(|found| match found == *want {
        true => std::fs::rename(&part, folder.join(want.as_str())).map_err(|e| CacheError::folder(folder, e)),
        false => Err(CacheError::Digest { found, want: want.clone() }),
    });
    if done.is_err() {
        drop(std::fs::remove_file(&part));
    }
    done
}

/// Writes all that comes, and says what it is.
async fn write(part: &Path, want: &Digest, length: u64, upstream: &Upstream, target: &str) -> Result<Digest, CacheError> {
    let mut file = tokio::fs::File::create(part).await.map_err(|e| CacheError::folder(part, e))?;
    let (mut hasher, mut done, mut tries) = (Sha256::new(), 0, 0);
    while done < length {
        let before = done;
        match piece(&mut file, part, &mut hasher, &mut done, want, length, upstream, target).await? {
            None => {}
            Some(_) if done > before => tries = 0,
            Some(trouble) if tries + 1 >= TRIES => return Err(trouble.into()),
            Some(_) => {
                tokio::time::sleep(Duration::from_secs(1 << tries)).await;
                tries += 1;
            }
        }
    }
    file.flush().await.map_err(|e| CacheError::folder(part, e))?;
    Ok(Digest::from_bytes(&hasher.finalize().into()))
}

/// As much as one answer brings. `Some` says why it ended early.
#[allow(clippy::too_many_arguments)]
async fn piece(
    file: &mut tokio::fs::File,
    part: &Path,
    hasher: &mut Sha256,
    done: &mut u64,
    want: &Digest,
    length: u64,
    upstream: &Upstream,
    target: &str,
) -> Result<Option<Trouble>, CacheError> {
    let mut answer = match upstream.fetch(target, *done, want).await {
        Ok(answer) => answer,
        // Not there at the first question is not there; not there after a break may be a restart of it.
        Err(trouble) if *done == 0 => return Err(trouble.into()),
        Err(trouble) => return Ok(Some(trouble)),
    };
    loop {
        let bytes = match answer.next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) if *done == length => return Ok(None),
            Ok(None) => return Ok(Some(upstream.bad(&format!("it broke off after {done} of {length} bytes")))),
            Err(why) => return Ok(Some(upstream.bad(&format!("it broke off after {done} of {length} bytes: {why}")))),
        };
        let more = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        // It would fill the disk beyond what was made room for.
        if more > length - *done {
            return Err(upstream.bad(&format!("it sends more than the {length} bytes that it named")).into());
        }
        hasher.update(&bytes);
        file.write_all(&bytes).await.map_err(|e| CacheError::folder(part, e))?;
        *done += more;
    }
}
