//! `bringup` turns a written rack into a proven one.
//!
//! Facts flow one way, and nothing is believed that hardware has not said:
//!
//! ```text
//! inventory/*.yaml  playbooks/*.yaml      words     what should be
//!       └── spec ──► Inventory, Playbook
//! survey (bmc, shell) ──► Observed        facts     what is, or Unknown
//! planner ──► NodePlan ─ rollout ──► Plan thought   a file: read it, sign it, keep it
//! engine: drain · look · act · look · release   deeds   one node is a line; many nodes are waves
//! journal: Event, Event, Event ──► RunState  memory  written before it is told
//! gate: verify ──► Verdict ──► Admission ──► pool   one key per node, only `judge` cuts it
//! report ◄── journal                      account   works on a copied journal, years later
//! ```
//!
//! | room | what it is for | may name |
//! |---|---|---|
//! | [`model`] | the nouns: data and legal change; no I/O, async, clock or dice | nothing |
//! | [`spec`] | YAML → model; every mistake at once, with file:line:column | model |
//! | [`planner`] | (desired, observed) → steps, each with a why | model |
//! | [`rollout`] | waves; who may go next; when to hold | model |
//! | [`verify`] | what to ask each accelerator, how to judge the answer | model |
//! | [`bmc`] | the out-of-band hand: Redfish and IPMI | model |
//! | [`shell`] | the in-band hand: SSH | model, verify |
//! | [`boot`] | the boot server: DHCP, TFTP, HTTP(S); grants, scripts, identities, boot media | model |
//! | [`image`] | boot images from Debian packages: same definition, same bytes | model |
//! | [`journal`] | the store: append, fold, hash chain, lock | model |
//! | [`pool`] | where admitted nodes work | model, verify |
//! | [`survey`] | reads the world into `Observed` | model, bmc, shell |
//! | [`action`] | the verbs, one file each | model, verify, bmc, shell, boot |
//! | [`engine`] | the walk | model, rollout, verify, action, journal, pool |
//! | [`report`] | what happened, for people, CI and auditors | model, journal |
//! | [`sim`] | the far end of every wire: real sockets, own codecs, seeded faults | model |
//! | [`cli`] | wires the rooms; the only place that prints or exits | all |
//!
//! `tests/floors/` holds the same table and fails the build when an import goes the wrong way.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr))]

pub mod action;
pub mod bmc;
pub mod boot;
pub mod cli;
pub mod engine;
pub mod image;
pub mod journal;
pub mod model;
pub mod planner;
pub mod pool;
pub mod report;
pub mod rollout;
pub mod shell;
pub mod sim;
pub mod spec;
pub mod survey;
pub mod verify;
