//! A firmware image for the simulator: a few lines that name component and version, and whatever fills it up behind them. Nobody could mistake
//! it for a real one.

/// First line of every image.
const HEAD: &str = "bringup simulated firmware 1";

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Component.
    pub component: String,
    /// Version.
    pub version: String,
}

impl Image {
    /// An image of `len` bytes, or as many as its lines need.
    #[must_use]
    pub fn bytes(&self, len: usize) -> Vec<u8> {
        let mut bytes = format!("{HEAD}\ncomponent: {}\nversion: {}\n\n", self.component, self.version).into_bytes();
        // Not all alike, so that a part that is lost or doubled changes it.
        let fill = (bytes.len()..len).map(|at| u8::try_from(at % 251).unwrap_or(0));
        bytes.extend(fill.collect::<Vec<u8>>());
        bytes
    }

    /// Reads an image. `None`: it is none, or was cut or changed in its filling.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let head = bytes.get(..bytes.len().min(1_024))?;
        let end = head.windows(2).position(|pair| pair == b"\n\n")?;
        let text = std::str::from_utf8(head.get(..end)?).ok()?;
        let mut lines = text.lines();
        if lines.next() != Some(HEAD) {
            return None;
        }
        let component = lines.next()?.strip_prefix("component: ")?.to_owned();
        let version = lines.next()?.strip_prefix("version: ")?.to_owned();
        let image = Self { component, version };
        (image.bytes(bytes.len()) == bytes).then_some(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_reads_back_and_a_damaged_one_does_not() {
        let image = Image { component: "BMC".to_owned(), version: "7.20".to_owned() };
        for len in [0, 100, 5_000] {
            let bytes = image.bytes(len);
            assert_eq!(Image::read(&bytes), Some(image.clone()));
            assert_eq!(Image::read(bytes.get(1..).unwrap()), None);
        }
        let mut bytes = image.bytes(5_000);
        bytes.remove(2_000);
        assert_eq!(Image::read(&bytes), None);
        assert_eq!(Image::read(b""), None);
    }
}
