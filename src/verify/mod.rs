//! The gate's thought: what to ask each accelerator and how to judge the answer. Pure: it never runs anything.

use std::collections::BTreeMap;

use crate::model::{Answer, Finding, Judgement, NodeId, Probe, Suite, Verdict};

/// All answers to a suite's probes, by probe id.
pub type Answers = BTreeMap<String, Answer>;

/// The gate's judgement of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Verdict on the node: the worst of `findings` and `devices`.
    pub verdict: Verdict,
    /// Findings on the node itself (identity, counts).
    pub findings: Vec<Finding>,
    /// One per accelerator that was bought or seen.
    pub devices: Vec<Judgement>,
}

/// The key to the pool. Only [`judge`] makes one; it cannot be copied, stored or read from a file.
#[derive(Debug)]
#[must_use]
pub struct Admission {
    node: NodeId,
    pool: String,
    admitted: Vec<Judgement>,
    withheld: Vec<Judgement>,
}
