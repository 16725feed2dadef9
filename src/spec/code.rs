//! The codes of mistakes. A code never changes its meaning and is never used again. `E0xx`: files and YAML; `E1xx`: inventory;
//! `E2xx`: playbooks, images, stacks and policies; `W…`: worth knowing, refuses nothing.

/// A file is missing, unreadable, not UTF-8 or too big.
pub const FILE: &str = "E001";
/// The text is not YAML (or not CSV).
pub const SYNTAX: &str = "E002";
/// A key is written twice in one map.
pub const DUPLICATE_KEY: &str = "E003";
/// A key that nothing reads.
pub const UNKNOWN_KEY: &str = "E004";
/// A key that must be there is not.
pub const MISSING_KEY: &str = "E005";
/// A value of the wrong type.
pub const WRONG_TYPE: &str = "E006";
/// A value of the right type that is not allowed here.
pub const BAD_VALUE: &str = "E007";
/// YAML that is legal but refused: tags, merge keys, several documents, too deep, too much by aliases.
pub const REFUSED_YAML: &str = "E008";

/// A secret in plain text.
pub const PLAINTEXT_SECRET: &str = "E101";
/// A range such as `a[001-010]` that cannot be read.
pub const BAD_RANGE: &str = "E102";
/// Two blocks make the same rack or node.
pub const OVERLAP: &str = "E103";
/// The same MAC, serial number, UUID or address twice.
pub const DUPLICATE_IDENTITY: &str = "E104";
/// A profile that is not defined, or inherits in a circle.
pub const PROFILE: &str = "E105";
/// An expression or template that cannot be computed.
pub const EXPRESSION: &str = "E106";
/// An address outside its network.
pub const ADDRESS: &str = "E107";
/// A facts row for a node that the intent does not make.
pub const UNKNOWN_NODE: &str = "E108";
/// A fact that the policy demands is missing.
pub const MISSING_FACT: &str = "E109";
/// A fact that cannot be read, or a malformed facts file.
pub const BAD_FACT: &str = "E110";
/// An override that matches no node.
pub const EMPTY_SELECTOR: &str = "E111";
/// An override whose `until` has passed.
pub const EXPIRED: &str = "E112";
/// A name that no node, rack or site can have.
pub const BAD_NAME: &str = "E113";
/// Something that every node needs was written nowhere.
pub const INCOMPLETE: &str = "E114";

/// A name of an image, stack or policy behind which there is no file, or that the playbook does not list.
pub const UNRESOLVED: &str = "E201";
/// A path that is not taken: absolute, outside the project, or none.
pub const BAD_PATH: &str = "E202";
/// A file that is missing or does not have the digest that its manifest names.
pub const ARTIFACT: &str = "E203";
/// A policy that could never be met by the accelerators that it is for.
pub const POLICY: &str = "E204";
/// A tolerance whose `until` has passed.
pub const TOLERANCE: &str = "E205";
/// An installation step or version probe that cannot work.
pub const STACK: &str = "E206";
/// A rollout that could never start or end.
pub const ROLLOUT: &str = "E207";
/// Inventory and playbook contradict each other.
pub const DISAGREE: &str = "E208";
/// A lock that does not fit its definition.
pub const LOCK: &str = "E209";

/// A file or key that has no effect.
pub const NO_EFFECT: &str = "W101";
