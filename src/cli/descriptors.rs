//! How many files this process may open, and what of its work fits into that. A node costs connections, and running out of them in the middle of a
//! run would look like a fault of the nodes; so it is counted before anything is touched. It never asks for more than the hard limit.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::failure::{Exit, Failure, Result};

/// Journal, grants, pool, runtime, listeners, standard streams and loaded files.
const OWN: u64 = 64;
/// A node under way: two connections to its BMC, one to its system, a file on its way to it. The boot server in this process, whose
/// connections are short, is in it too: 1,280 nodes that boot at once were seen to need 2.4 each.
const UNDER_WAY: u64 = 4;
/// A node that is looked at: a connection to its BMC, one to its system, the file that holds a secret.
const LOOKED_AT: u64 = 3;

/// Raises the soft limit to the hard one, as any process may for itself. The usual soft limit is 1024; it exists for programs that use
/// select(2), which this one does not (0pointer.net/blog/file-descriptor-limits.html).
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Refused means that the limit stays as it was, and is counted with below.
        let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    }
}

/// The limit; none is a very large one.
fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many nodes may be looked at together, `most` at most and one at least.
#[must_use]
pub fn looks(most: usize) -> usize {
    fitting(limit(), LOOKED_AT).clamp(1, most)
}

/// Makes sure that so many nodes may be under way together.
///
/// # Errors
/// The limit is too low for them; nothing was touched.
pub fn enough(nodes: usize) -> Result<()> {
    let (limit, fit) = (limit(), fitting(limit(), UNDER_WAY));
    if nodes <= fit {
        return Ok(());
    }
    let need = UNDER_WAY.saturating_mul(u64::try_from(nodes).unwrap_or(u64::MAX)).saturating_add(OWN);
    let text = format!("{nodes} nodes at once need {need} open files, and this process may open {limit}; nothing was touched");
    Err(Failure::new(Exit::ERROR, text).hint(format!(
        "raise the hard limit (`ulimit -n {need}`, LimitNOFILE= of a unit), or set rollout.max_nodes to {fit} or less"
    )))
}

/// How many nodes of so many descriptors each fit.
fn fitting(limit: u64, each: u64) -> usize {
    usize::try_from(limit.saturating_sub(OWN) / each).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{UNDER_WAY, enough, fitting, limit, looks};

    #[test]
    fn what_fits_is_counted_from_the_limit() {
        assert_eq!(fitting(1024, UNDER_WAY), 240);
        assert_eq!(fitting(0, UNDER_WAY), 0);
        assert!((1..=256).contains(&looks(256)));
    }

    #[test]
    fn too_many_nodes_are_refused_with_both_numbers() {
        assert!(enough(1).is_ok());
        let most = fitting(limit(), UNDER_WAY);
        let Some(over) = most.checked_add(1) else { return };
        let failure = enough(over).err().map(|f| (f.error.to_string(), f.hint));
        let (text, hint) = failure.unwrap_or_default();
        assert!(text.contains(&format!("{over} nodes")) && text.contains(&limit().to_string()), "{text}");
        assert!(hint.is_some_and(|hint| hint.contains("ulimit -n")));
    }
}
