//! References to secrets. The secret itself never enters the model: `cli` resolves a reference just before a hand needs it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a secret is to be found; safe to print, plan and journal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SecretRef {
    /// `env:NAME`: an environment variable of the controller.
    Env(String),
    /// `file:PATH`: the first line of a file that only its owner can read.
    File(String),
    /// `exec:PROGRAM ARG…`: the first line that a helper prints (no shell; words are split on spaces).
    Exec(Vec<String>),
}

/// Why a string is not a reference to a secret. The string itself is not repeated: it may be the secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretRefError {
    /// No known scheme: most likely the secret itself, in plain text.
    #[error("a plain-text secret is refused; write a reference: `env:NAME`, `file:PATH` or `exec:PROGRAM`")]
    Plaintext,
    /// A scheme that this version cannot resolve.
    #[error("secret references of scheme `{0}:` are not supported by this version; use `env:`, `file:` or `exec:`")]
    Unsupported(&'static str),
    /// The part after the scheme is empty or malformed.
    #[error("the secret reference `{0}:` names nothing")]
    Empty(&'static str),
}

impl FromStr for SecretRef {
    type Err = SecretRefError;
    fn from_str(s: &str) -> Result<Self, SecretRefError> {
        let Some((scheme, rest)) = s.split_once(':') else { return Err(SecretRefError::Plaintext) };
        match scheme {
            "env" if rest.is_empty() || !rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
                Err(SecretRefError::Empty("env"))
            }
            "env" => Ok(Self::Env(rest.to_owned())),
            "file" if rest.is_empty() => Err(SecretRefError::Empty("file")),
            "file" => Ok(Self::File(rest.to_owned())),
            "exec" => {
                let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
                if words.is_empty() { Err(SecretRefError::Empty("exec")) } else { Ok(Self::Exec(words)) }
            }
            "age" => Err(SecretRefError::Unsupported("age")),
            "vault" => Err(SecretRefError::Unsupported("vault")),
            _ => Err(SecretRefError::Plaintext),
        }
    }
}
impl TryFrom<String> for SecretRef {
    type Error = SecretRefError;
    fn try_from(s: String) -> Result<Self, SecretRefError> {
        s.parse()
    }
}
impl From<SecretRef> for String {
    fn from(r: SecretRef) -> String {
        r.to_string()
    }
}
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{path}"),
            Self::Exec(words) => write!(f, "exec:{}", words.join(" ")),
        }
    }
}
