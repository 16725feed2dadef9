//! One answer per node, folded: equal answers stand on one line with the names of all nodes that gave them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::failure::Exit;
use crate::bmc::{BmcError, BmcTrouble, Written};
use crate::model::NodeId;
use crate::spec::fold;

/// How it went with one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Went {
    /// Known, or done and seen.
    Well,
    /// Neither done nor not done for sure, or not known.
    Unclear,
    /// Not done.
    Failed,
    /// No answer, or the BMC did not accept who asks or who it is.
    Unreached,
}

/// What one node answered.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Told {
    /// How it went.
    pub went: Went,
    /// One word or a few, equal for equal answers.
    pub answer: String,
    /// What was tried and seen.
    pub detail: Option<String>,
}

impl Told {
    /// An answer that is what was asked for.
    pub fn well(answer: impl Into<String>) -> Self {
        Self { went: Went::Well, answer: answer.into(), detail: None }
    }

    /// An answer that is not known.
    pub fn unclear(answer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { went: Went::Unclear, answer: answer.into(), detail: Some(detail.into()) }
    }

    /// An error of a BMC.
    #[must_use]
    pub fn error(error: &BmcError) -> Self {
        let answer = match error.kind {
            BmcTrouble::Unreachable => "unreachable",
            BmcTrouble::Credentials => "wrong credentials",
            BmcTrouble::PasswordChange => "password must be changed",
            BmcTrouble::Certificate { .. } => "certificate not trusted",
            BmcTrouble::Busy => "busy",
            BmcTrouble::Refused => "refused",
            BmcTrouble::Unsupported => "not supported",
            BmcTrouble::Malformed => "not understood",
            BmcTrouble::TimedOut => "timed out",
        };
        let unreached = matches!(
            error.kind,
            BmcTrouble::Unreachable | BmcTrouble::Credentials | BmcTrouble::Certificate { .. } | BmcTrouble::TimedOut
        );
        let went = if unreached { Went::Unreached } else { Went::Failed };
        let mut detail = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(under) = cause {
            detail.push_str(&format!(": {under}"));
            cause = under.source();
        }
        Self { went, answer: answer.to_owned(), detail: Some(detail) }
    }

    /// What became of a write.
    #[must_use]
    pub fn written(written: &Written) -> Self {
        match written {
            Written::Applied(seen) => Self { went: Went::Well, answer: "done".to_owned(), detail: Some(seen.clone()) },
            Written::NotApplied(error) => Self::error(error),
            Written::Ambiguous(seen) => Self::unclear("unclear", seen.clone()),
        }
    }
}

/// Rows of `nodes, count, answer, seen`. Nodes with equal answers share a row; what was seen is the first node's when they differ.
#[must_use]
pub fn rows(all: &BTreeMap<NodeId, Told>) -> Vec<Vec<String>> {
    let mut groups: BTreeMap<(Went, &str), Vec<(&NodeId, &Told)>> = BTreeMap::new();
    for (node, told) in all {
        groups.entry((told.went, &told.answer)).or_default().push((node, told));
    }
    groups
        .into_iter()
        .map(|((_, answer), members)| {
            let first = members.first().and_then(|(node, told)| told.detail.as_ref().map(|detail| (node, detail)));
            let seen = match first {
                None => String::new(),
                Some((_, detail)) if members.iter().all(|(_, told)| told.detail.as_ref() == Some(detail)) => detail.clone(),
                Some((node, detail)) => format!("{node}: {detail}"),
            };
            vec![fold(members.iter().map(|(node, _)| node.as_str())), members.len().to_string(), answer.to_owned(), seen]
        })
        .collect()
}

/// The exit code of the contract: 10 when no node could be reached, 4 when some did not end well.
#[must_use]
pub fn exit(all: &BTreeMap<NodeId, Told>) -> Exit {
    if all.values().all(|told| told.went == Went::Well) {
        Exit::DONE
    } else if all.values().all(|told| told.went == Went::Unreached) {
        Exit::UNREACHABLE
    } else {
        Exit::SOME_FAILED
    }
}

#[cfg(test)]
mod tests {
    use super::{Told, Went, exit, rows};
    use crate::cli::Exit;
    use std::collections::BTreeMap;

    #[test]
    fn equal_answers_fold_and_the_worst_decides_the_exit() {
        let id = |n: &str| crate::model::NodeId::new(n).unwrap();
        let lost =
            |at: &str| Told { went: Went::Unreached, answer: "unreachable".into(), detail: Some(format!("no answer from {at}")) };
        let mut all = BTreeMap::from([(id("a1-s1"), Told::well("on")), (id("a1-s2"), Told::well("on"))]);
        assert_eq!(rows(&all), [["a1-s[1-2]", "2", "on", ""]]);
        assert_eq!(exit(&all), Exit::DONE);
        all.insert(id("a1-s3"), lost("x"));
        all.insert(id("a1-s4"), lost("y"));
        assert_eq!(rows(&all)[1], ["a1-s[3-4]", "2", "unreachable", "a1-s3: no answer from x"]);
        assert_eq!(exit(&all), Exit::SOME_FAILED);
        all.retain(|_, told| told.went == Went::Unreached);
        assert_eq!(exit(&all), Exit::UNREACHABLE);
    }
}
